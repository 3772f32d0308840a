//! `cargo xtask serve | test | bench | models | package`: each sets up what it needs by itself, and says so.

mod bench;
mod bundle;
mod cdn;
mod clients;
mod long;
mod models;
mod npm;
mod package;
mod serve;
mod setup;
mod shell;
mod test;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, serve and test Quire")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page and serve it on this machine
    Serve {
        /// What the page loads: a path, a URL, or a name that `cargo xtask models` lists
        #[arg(long, default_value = models::DEFAULT)]
        model: String,
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Run every test: Rust, TypeScript and browsers
    Test {
        /// Instead of all that, one that takes too long to be run every time
        #[arg(long, value_name = "TEST")]
        long: Option<long::Long>,
    },
    /// Measure a model in a browser, or set two files of measurements side by side
    Bench(bench::Args),
    /// List the models by name, or make those that are named
    Models { names: Vec<String> },
    /// Make what is published: the static site and the npm package, in dist
    Package,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Serve { model, port } => serve::run(&model, port).map(|()| true),
        Command::Test { long: None } => test::run(),
        Command::Test { long: Some(long) } => long::run(long),
        Command::Bench(args) => bench::run(&args).map(|()| true),
        Command::Models { names } => models::run(&names).map(|()| true),
        Command::Package => package::build().map(|_| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
