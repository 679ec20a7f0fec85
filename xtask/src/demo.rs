//! `cargo xtask demo`: the task board, built and served on this machine.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{board, bundle, process::Run, report::Steps, workspace::Workspace};

/// Where the demo listens if nobody says otherwise and nobody else does.
const PORT: u16 = 8787;
/// How long the server may take to start.
const START: Duration = Duration::from_secs(20);

/// Builds everything and serves it until it is interrupted.
pub(crate) fn run(workspace: &Workspace, port: Option<u16>) -> Result<()> {
    let mut steps = Steps::new(bundle::STEPS + 3);
    bundle::build(workspace, &mut steps)?;
    steps.next("build the task board");
    let web = board::build(workspace)?;
    steps.next("build the server");
    let server = server(workspace)?;

    steps.next("start the server");
    let port = free_port(port)?;
    let data = workspace.target("demo-data");
    let listen = format!("{}:{port}", Ipv4Addr::LOCALHOST);
    let mut serving = Run::new(&server, ["serve", "--dev", "--listen", &listen])
        .arg("--web")
        .arg(&web)
        .arg("--data")
        .arg(&data)
        .started()?;
    let began = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if let Some(status) = serving.try_wait()? {
            bail!("the server ended before it listened ({status})");
        }
        if began.elapsed() > START {
            serving.kill()?;
            bail!("the server did not listen within {} seconds", START.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
    println!(
        "\nThe task board is at  http://{listen}/\n\nOpen it in two browsers, or in one and a private window of it: what is \
         edited in one shows in the other.\nSwitch one offline, go on editing, and switch it on again. Dead letters of \
         workers are at http://{listen}/operator.html\nThe server keeps its data in\n{}. Ctrl-C stops it.\n",
        data.display()
    );
    let status = serving.wait()?;
    ensure!(status.success(), "the server ended ({status})");
    Ok(())
}

/// Builds the server as people develop it: it starts within a minute of a fresh checkout, where an optimised
/// build takes several.
pub(crate) fn server(workspace: &Workspace) -> Result<PathBuf> {
    Run::cargo(["build", "--package", "server-reference", "--bin", "webwaka-server"])
        .dir(workspace.root())
        .done()?;
    Ok(workspace.target("debug/webwaka-server"))
}

/// The port asked for; or the usual one; or, if that is taken, any.
fn free_port(wanted: Option<u16>) -> Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = wanted {
        bind(port).with_context(|| format!("port {port} is taken"))?;
        return Ok(port);
    }
    if bind(PORT).is_ok() {
        return Ok(PORT);
    }
    let port = bind(0)?.local_addr()?.port();
    eprintln!("port {PORT} is taken; using {port}");
    Ok(port)
}
