//! The CDN simulator as a program, for browsers:
//!
//! ```text
//! cargo run -p tests --bin cdn -- [--root DIR] [--port N] [--faults SPEC]
//! ```
//!
//! Serves all files below DIR (the working directory) to scripts of any origin, on port N of 127.0.0.1 (a free one), and misbehaves
//! as SPEC says (not at all), which [`tests::cdn::Spec`] describes: `--faults faults,seed=7` fails a tenth of requests in every
//! way, `--faults hold=9000000` sends that many bytes and then none, `--faults bandwidth=5000000,latency=50` is only
//! slow. Prints its URL in one line and serves until it is ended.
//!
//! It talks about itself below its URL: `_cdn/counts` is JSON of what was asked and sent since the start or since `_cdn/reset`;
//! `_cdn/faults?SPEC` puts another SPEC in place of the one before, `_cdn/faults` none.

use std::process::ExitCode;

use tests::cdn::{Cdn, Files, Spec};

fn main() -> ExitCode {
    let mut root = ".".to_owned();
    let mut port = 0;
    let mut spec = Spec::default();
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().unwrap_or_default();
        let understood = match name.as_str() {
            "--root" => {
                root = value;
                Ok(())
            }
            "--port" => value.parse().map(|value| port = value).map_err(|_| format!("{value:?} is no port")),
            "--faults" => value.parse().map(|value| spec = value),
            _ => Err(format!("{name:?}: --root, --port and --faults are known")),
        };
        if let Err(words) = understood {
            eprintln!("cdn: {words}");
            return ExitCode::from(2);
        }
    }
    match Cdn::start(Files::Below(root.into()), spec, port) {
        Ok(cdn) => {
            println!("{}", cdn.url(""));
            loop {
                std::thread::park();
            }
        }
        Err(e) => {
            eprintln!("cdn: {e}");
            ExitCode::FAILURE
        }
    }
}
