//! From Rust to the npm package: compile, bind, shrink, then the TypeScript around it.
//!
//! `npm/pkg` holds what wasm-bindgen and wasm-opt make of the crate `sdk-wasm`; `npm/dist` is what users install.
//! Each step is skipped while its inputs are unchanged.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    fingerprint::Fingerprint,
    process::Run,
    report::Steps,
    setup::{self, WASM},
    workspace::Workspace,
};

/// The cargo profile of the browser core.
pub(crate) const PROFILE: &str = "wasm-release";
/// The name of the generated files: `engine.js`, `engine.d.ts`, `engine_bg.wasm`.
pub(crate) const NAME: &str = "engine";
/// Steps that [`build`] announces.
pub(crate) const STEPS: usize = 4;

/// Smallest after brotli, which is what travels: inlining and shared subexpressions shorten the module itself, but
/// leave fewer repetitions, and cost some nine kilobytes of the compressed one. `-Oz` costs half a kilobyte more than `-Os`.
const OPTIMISE: &[&str] = &[
    "-Os",
    "--always-inline-max-function-size",
    "0",
    "--one-caller-inline-max-function-size",
    "0",
    "--flexible-inline-max-function-size",
    "0",
    "--skip-pass=local-cse",
    "--strip-debug",
    "--strip-producers",
    "--strip-target-features",
];

/// Builds `npm/pkg` and `npm/dist`.
pub(crate) fn build(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.next("compile the browser core");
    setup::wasm_target()?;
    let compiled = compile(workspace)?;
    steps.next("install the npm packages");
    setup::npm_packages(&workspace.npm())?;
    steps.next("bind and optimise it");
    bind(workspace, &compiled)?;
    steps.next("build the npm package");
    package(workspace)
}

fn compile(workspace: &Workspace) -> Result<PathBuf> {
    // Paths of dependencies are in the module, as places of panics: they must not depend on who builds it.
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let packages = cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("no home folder")?;
    Run::cargo(["build", "--package", "sdk-wasm", "--lib", "--target", WASM, "--profile", PROFILE])
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
            // Hashing is unrolled otherwise: some faster, and several times as large.
            format!("--remap-path-prefix={}=cargo --cfg sha2_backend_soft=\"compact\"", packages.display()),
        )
        .dir(workspace.root())
        .done()?;
    Ok(workspace.target(format!("{WASM}/{PROFILE}/sdk_wasm.wasm")))
}

fn bind(workspace: &Workspace, compiled: &PathBuf) -> Result<()> {
    let (npm, pkg) = (workspace.npm(), workspace.npm().join("pkg"));
    let stamp = setup::stamp(&npm, "bind");
    let lock = npm.join("package-lock.json");
    let settings: Vec<_> = OPTIMISE.iter().chain(&["wasm-bindgen 0.2.130", NAME]).copied().collect();
    // The lock file fixes the version of wasm-opt.
    let inputs = Fingerprint::of(&settings).with(compiled)?.with(lock)?;
    let wasm = pkg.join(format!("{NAME}_bg.wasm"));
    if inputs.matches(&stamp) && wasm.is_file() {
        return Ok(());
    }
    setup::fresh_folder(&pkg)?;
    Bindgen::new()
        .input_path(compiled)
        .out_name(NAME)
        .web(true)?
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        // The library's default leaves `init()` without an address to load from.
        .omit_default_module_path(false)
        .generate(&pkg)
        .context("wasm-bindgen failed")?;

    let optimised = pkg.join("optimised.wasm");
    Run::new(npm.join("node_modules/.bin/wasm-opt"), OPTIMISE).arg(&wasm).arg("-o").arg(&optimised).done()?;
    fs::rename(&optimised, &wasm)?;
    inputs.write(&stamp)
}

fn package(workspace: &Workspace) -> Result<()> {
    let npm = workspace.npm();
    let stamp = setup::stamp(&npm, "package");
    let mut inputs = Fingerprint::of(&["npm run build"]);
    for input in ["src", "pkg", "package.json", "package-lock.json"] {
        inputs = inputs.with(npm.join(input))?;
    }
    let mut settings = fs::read_dir(&npm)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    settings.retain(|name| name.starts_with("tsconfig") || name.ends_with(".mjs"));
    settings.sort_unstable();
    for name in settings {
        inputs = inputs.with(npm.join(name))?;
    }
    if inputs.matches(&stamp) && npm.join("dist").is_dir() {
        return Ok(());
    }
    Run::npm_script(&npm, "build").done()?;
    inputs.write(&stamp)
}
