//! `quire serve`: OpenAI's API over HTTP, and the chat page. Connections live on a thread of their own; the model stays on the main
//! thread, answers some requests at a time, and is filled while there is none.

mod body;
mod guard;
mod http;
mod metrics;
mod page;
mod queue;
mod standing;

use std::env;
use std::future::{IntoFuture, pending};
use std::io::{self, Write};
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use api::{ErrorReply, Model, Names};
use axum::serve::ListenerExt;
use engine::{Seat, Seats};
use futures_channel::oneshot;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use model::Options;
use store::Library;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::args::{self, Limits};
use crate::idle::Filler;
use crate::load;
use guard::Guard;
use http::Server;
use metrics::Metrics;
use queue::{Event, Job, Queue};

/// How long an answer may go on once the server is to stop, and connections may stay once no answer does.
const GRACE: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Requests that are looked at at a time.
const MOST_EXAMINERS: usize = 2;
/// The exit status of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Answer OpenAI requests over HTTP
///
/// /v1/chat/completions, /v1/completions, /v1/responses and /v1/models are OpenAI's; / is a page to chat with; /health, /stats and
/// /metrics (Prometheus) are for whoever watches. What is said to the model is not logged.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: args::Model,
    /// Port to listen on; 0 is any that is free
    #[arg(long, value_name = "PORT", default_value = "8000")]
    port: u16,
    /// Address to listen on; 0.0.0.0 lets other machines in
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: String,
    /// Answer only those who send this as bearer token [default: $QUIRE_API_KEY, or everybody]
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Answer so many requests at a time, token by token together
    ///
    /// Each has keys and values of its own in GPU memory (`quire inspect --parallel N` says how much), and goes on from the one before
    /// it that shares most with its prompt. Weights are read once for all: several are answered faster together than one after the
    /// other, and one alone fastest with 1.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=args::MOST_PARALLEL))]
    parallel: u32,
    /// Requests in hand at a time, those that wait in the order in which they came among them; more are refused with 429, unread
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    queue: u16,
    /// Let web pages of this origin ask, such as https://example.com; * is any. May be given several times
    #[arg(long, value_name = "ORIGIN")]
    cors: Vec<String>,
    /// Another name for the model; the first one is the name that answers bear. May be given several times
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Bring only what answers need; else, after the first one, the rest of a model by URL comes while nobody waits for an answer
    #[arg(long)]
    no_fill: bool,
    #[command(flatten)]
    limits: Limits,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let key = args.api_key.or_else(|| env::var("QUIRE_API_KEY").ok().filter(|key| !key.is_empty()));
    ensure!(key.as_deref() != Some(""), "the API key is empty");
    let origins = args.cors.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect();
    // Before anything that takes long.
    let listener = listen(&args.host, args.port)?;
    let address = listener.local_addr()?;
    let location = &args.model.location;
    let files = load::open(&args.model).await?;
    let options = Options { sequences: args.parallel, ..load::options(location, &files, &args.limits)? };
    let own = files.directory.metadata.str("general.name").ok().flatten().unwrap_or_default();
    let (asker, teller) = standing::pair();
    let server = Arc::new(Server {
        queue: Arc::new(Queue::new(args.queue.into())),
        examiner: OnceLock::new(),
        metrics: Metrics::default(),
        asker,
        guard: Guard { key, origins, is_local: address.ip().is_loopback() },
        names: Names::new(location, own, &args.alias),
        context: options.context,
        started: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
    });
    let connections = {
        let server = server.clone();
        thread::Builder::new().name("connections".into()).spawn(move || connect(listener, server))?
    };

    let mut model = load::load(location, &files, &args.limits, options).await?;
    model.rename(server.names.id());
    server.examiner.get_or_init(|| model.examiner());
    server.queue.open();
    note(&format!("{} on {}, at http://{address}/v1", server.names.id(), model.engine.gpu().adapter()));
    if !server.guard.is_local && server.guard.key.is_none() {
        note("whoever reaches this machine may use the model: --api-key asks for a key");
    }
    let told = teller.tell(model.monitor().clone(), model.fill().clone(), files.library.keeps(), &server.queue);
    let worked = work(&mut model, &files.library, &server, args.parallel as usize, args.no_fill);
    select(pin!(worked), pin!(told)).await;
    model.settle().await;
    connections.join().map_err(|_| anyhow!("the thread of the connections has panicked"))?
}

/// Answers until the queue is closed.
async fn work(model: &mut Model, library: &Library, server: &Server, parallel: usize, no_fill: bool) {
    let seats = Seats::default();
    let voice = model.at(&seats);
    let mut filler = Filler::new(model, !no_fill);
    loop {
        let job = filler.until(server.queue.next(), model, &note).await;
        load::note_problem(library);
        let Some(job) = job else { break };
        filler.beside(model.engine.attend(&seats, answer_from(job, &voice, server, parallel))).await;
        load::note_problem(library);
    }
}

/// Answers `first` and whoever comes meanwhile, `most` at a time, until nobody waits.
async fn answer_from(first: Job, voice: &Model<Seat>, server: &Server, most: usize) {
    let mut answers = FuturesUnordered::new();
    answers.push(answer(first, voice.clone(), server));
    while !answers.is_empty() {
        let has_room = answers.len() < most;
        let next = async { if has_room { server.queue.next().await } else { pending().await } };
        match select(answers.next(), pin!(next)).await {
            Either::Right((Some(job), _)) => answers.push(answer(job, voice.clone(), server)),
            Either::Left(_) => {}
            // Nobody is let in any more.
            Either::Right((None, _)) => while answers.next().await.is_some() {},
        }
    }
}

async fn answer(job: Job, mut voice: Model<Seat>, server: &Server) {
    let began = Instant::now();
    let mut say = |frame| {
        if job.call.stream {
            job.say(Event::Frame(frame));
        }
    };
    let done = voice.reply(&job.call, &job.cancel, &mut say).await;
    server.metrics.answer(done.as_ref().ok(), began.elapsed(), voice.stats());
    job.say(match done {
        Ok(reply) => Event::Done(Box::new(reply)),
        Err(error) => {
            let reply = ErrorReply::from(&error);
            if reply.status >= 500 && !job.cancel.is_cancelled() {
                note(&format!("an answer failed: {error}"));
            }
            Event::Failed(reply)
        }
    });
}

fn listen(host: &str, port: u16) -> Result<TcpListener> {
    let listener = TcpListener::bind((host.trim_start_matches('[').trim_end_matches(']'), port));
    let listener = listener.with_context(|| format!("cannot listen on {host}, port {port}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until somebody ends it, and closes the queue then.
fn connect(listener: TcpListener, server: Arc<Server>) -> Result<()> {
    let queue = server.queue.clone();
    let serve = async {
        // A token is a packet: it should not wait for the next one.
        let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        let (stops, stopped) = oneshot::channel();
        let stop = {
            let queue = queue.clone();
            async move {
                interrupt().await;
                if !queue.is_open() {
                    // Nobody is answered, and loading does not listen.
                    std::process::exit(INTERRUPTED);
                }
                note("stopping; once more stops at once");
                queue.close();
                let _ = stops.send(());
            }
        };
        let serving = axum::serve(listener, http::router(server)).with_graceful_shutdown(stop).into_future();
        let impatience = async {
            let _ = stopped.await;
            select(pin!(interrupt()), pin!(sleep(GRACE))).await;
            queue.cut();
            sleep(LAST_WORDS).await;
        };
        match select(pin!(serving), pin!(impatience)).await {
            Either::Left((served, _)) => served,
            Either::Right(_) => Ok(()),
        }
    };
    let served =
        Builder::new_current_thread().max_blocking_threads(MOST_EXAMINERS).enable_all().build().and_then(|runtime| runtime.block_on(serve));
    queue.close();
    served.context("cannot serve")
}

/// Waits until somebody wants the server to end.
async fn interrupt() {
    let ctrl_c = tokio::signal::ctrl_c();
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        select(pin!(ctrl_c), pin!(terminate.recv())).await;
        return;
    }
    let _ = ctrl_c.await;
}

/// A line for whoever runs the server.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
