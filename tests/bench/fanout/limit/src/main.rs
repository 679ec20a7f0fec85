//! A bare loop, beside which servers are measured.
//!
//! A connection says with its first byte what it is: `s` for a subscriber, `p` for the publisher. Each line of the publisher
//! goes to each subscriber as one WebSocket text frame, unmasked. Lines that came together are written together.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on http://{}", listener.local_addr()?);
    let mut subscribers = Vec::new();
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut role = [0];
        stream.read_exact(&mut role)?;
        match role[0] {
            b's' => {
                // So that the other side knows that it is one.
                stream.write_all(b"s")?;
                subscribers.push(stream);
            }
            b'p' => return publish(stream, &mut subscribers),
            other => bail!("{other} is no role"),
        }
    }
}

fn publish(publisher: TcpStream, subscribers: &mut [TcpStream]) -> Result<()> {
    let mut reader = BufReader::with_capacity(256 * 1024, publisher);
    let (mut line, mut frames) = (Vec::new(), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        line.pop();
        frames.extend_from_slice(&head(line.len())?);
        frames.append(&mut line);
        if !reader.buffer().contains(&b'\n') {
            for subscriber in &mut *subscribers {
                subscriber.write_all(&frames)?;
            }
            frames.clear();
        }
    }
    Ok(())
}

/// The head of a text frame (RFC 6455, section 5.2) of a length that takes two more bytes to say.
fn head(length: usize) -> Result<[u8; 4]> {
    let [high, low] = u16::try_from(length)?.to_be_bytes();
    if length < 126 {
        bail!("a line has {length} bytes, 126 is the least");
    }
    Ok([0x81, 126, high, low])
}
