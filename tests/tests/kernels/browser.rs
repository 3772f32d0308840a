//! A browser's GPU: `tests/browser/kernels.mjs` takes what is to be run by HTTP, has a page run it, and gives back what came of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;

use kernels::{Access, Kernel, Recording};
use serde_json::json;

use crate::gpu::Shape;

/// The browser whose GPU is tested in the place of this machine's.
#[derive(Debug)]
pub(crate) struct Browser {
    port: u16,
    /// Threads of each subgroup, if it has them.
    pub(crate) subgroup: Option<u32>,
    /// Tests of every weight format try one in so many, since its pipelines take long to make.
    pub(crate) share: u32,
}

/// None unless the environment names one.
pub(crate) fn given() -> Option<&'static Browser> {
    static GIVEN: OnceLock<Option<Browser>> = OnceLock::new();
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let given = || {
        let port = number("KERNELS_PORT")? as u16;
        Some(Browser { port, subgroup: number("KERNELS_SUBGROUP"), share: number("KERNELS_SHARE").unwrap_or(1) })
    };
    GIVEN.get_or_init(given).as_ref()
}

impl Browser {
    /// As [`engine::Executor::run`].
    pub(crate) fn run(&self, recording: &Recording, buffers: &[Vec<u32>], shape: Shape) -> Result<Vec<Vec<u32>>, String> {
        let (mut names, mut kernels) = (Vec::new(), Vec::new());
        let mut commands = Vec::new();
        for command in &recording.commands {
            let command = if shape == Shape::Narrow { command.clone() } else { command.in_wide_shape() };
            let kernel = command.kernel;
            let at = names.iter().position(|name| *name == kernel.name).unwrap_or(names.len());
            if at == names.len() {
                names.push(kernel.name);
                kernels.push(describe(kernel, self.subgroup.filter(|_| shape == Shape::WideInSubgroups))?);
            }
            let bindings: Vec<_> = command.bindings.iter().map(|slice| (slice.buffer.0, slice.offset, slice.bytes)).collect();
            commands.push(json!({ "kernel": at, "args": command.args_offset, "bindings": bindings, "workgroups": command.workgroups }));
        }
        let sizes: Vec<usize> = buffers.iter().map(|words| 4 * words.len()).collect();
        let job = json!({ "kernels": kernels, "commands": commands, "argsBytes": recording.args.len(), "sizes": sizes });
        // A line of JSON, then the arguments and the buffers, end to end.
        let mut body = format!("{job}\n").into_bytes();
        body.extend_from_slice(&recording.args);
        buffers.iter().for_each(|words| body.extend_from_slice(bytemuck::cast_slice(words)));

        let answer = self.post(&body).map_err(|e| e.to_string())?;
        if answer.len() != sizes.iter().sum::<usize>() {
            return Err(String::from_utf8_lossy(&answer).into_owned());
        }
        let mut words: Vec<u32> = bytemuck::pod_collect_to_vec(&answer);
        Ok(buffers.iter().map(|buffer| words.drain(..buffer.len()).collect()).collect())
    }

    /// The body of the answer: the buffers, or what went wrong.
    fn post(&self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(stream, "POST /job HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        Ok(answer.split_off(head + 4))
    }
}

fn describe(kernel: &Kernel, subgroup: Option<u32>) -> Result<serde_json::Value, String> {
    let (plain, wgsl) = (kernel.source(None)?, kernel.source(subgroup)?);
    let in_subgroups = wgsl != plain;
    let wgsl = if in_subgroups { format!("enable subgroups;\n{wgsl}") } else { plain };
    let access: Vec<_> = kernel.bindings.iter().map(|binding| buffer_type(binding.access)).collect();
    Ok(json!({ "name": kernel.name, "wgsl": wgsl, "inSubgroups": in_subgroups, "access": access, "argsBytes": kernel.args_bytes }))
}

/// As WebGPU calls it.
fn buffer_type(access: Access) -> &'static str {
    match access {
        Access::Uniform => "uniform",
        Access::Read => "read-only-storage",
        Access::ReadWrite => "storage",
    }
}
