//! `quire`: gpt-oss models from the terminal, by the engine that the browser runs.
//!
//! Answers go to stdout, everything else to stderr. Exit status: 0, 1 after a failure that one line on stderr
//! explains, 2 after a usage error. Whoever closes stdout early has seen enough; that is no failure.

mod args;
mod bench;
mod cache;
mod chat;
mod generate;
mod hub;
mod idle;
mod inspect;
mod load;
mod locate;
mod logger;
mod logits;
mod output;
mod parse;
mod render;
mod routes;
mod serve;
mod synth;
mod tokenize;
mod trace;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs gpt-oss models from plain GGUF files, on any GPU that wgpu reaches.
///
/// MODEL is a path (any shard of a set opens all of it), a URL, which is read by range, or a name from
/// `cargo xtask models`.
#[derive(Debug, Parser)]
#[command(name = "quire", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log to stderr what the engine and the GPU's driver say; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 1000)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Chat(chat::Args),
    Serve(serve::Args),
    Generate(generate::Args),
    Bench(bench::Args),
    Cache(cache::Args),
    Inspect(inspect::Args),
    Tokenize(tokenize::Args),
    Render(render::Args),
    Parse(parse::Args),
    Logits(logits::Args),
    Trace(trace::Args),
    Synth(synth::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    logger::start(cli.verbose);
    let done = pollster::block_on(async {
        match cli.command {
            Command::Chat(args) => chat::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Generate(args) => generate::run(args).await,
            Command::Bench(args) => bench::run(args).await,
            Command::Cache(args) => cache::run(args).await,
            Command::Inspect(args) => inspect::run(args).await,
            Command::Tokenize(args) => tokenize::run(args).await,
            Command::Render(args) => render::run(args).await,
            Command::Parse(args) => parse::run(args).await,
            Command::Logits(args) => logits::run(args).await,
            Command::Trace(args) => trace::run(args).await,
            Command::Synth(args) => synth::run(&args),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let words = format!("{error:#}");
            let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stderr(), "quire: {line}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_fit_together() {
        Cli::command().debug_assert();
    }
}
