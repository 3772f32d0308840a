//! The server's paths.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use api::{Call, Endpoint, ErrorReply, Examiner, Names, error_frame};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use uuid::Uuid;

use super::body::{self, MOST_BYTES, PATIENCE};
use super::guard::Guard;
use super::metrics::Metrics;
use super::page;
use super::queue::{Asked, Event, Queue};
use super::standing::Asker;

/// What the client of a request may quote; OpenAI's clients give it with every answer and error.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a stream may be silent: proxies give up on connections that say nothing.
const SILENCE: Duration = Duration::from_secs(5);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) queue: Arc<Queue>,
    /// Set once the model is there.
    pub(super) examiner: OnceLock<Examiner>,
    pub(super) metrics: Metrics,
    pub(super) asker: Asker,
    pub(super) guard: Guard,
    pub(super) names: Names,
    pub(super) context: u32,
    /// Seconds since 1970.
    pub(super) started: u64,
}

type Shared = State<Arc<Server>>;

pub(super) fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/stats", get(stats));
    for endpoint in Endpoint::ALL {
        let handler = move |server: Shared, request: Request| answer(server, endpoint, request);
        router = router.route(endpoint.path(), post(handler));
    }
    let router =
        router.fallback(other_path).method_not_allowed_fallback(wrong_method).layer(middleware::from_fn_with_state(server.clone(), admit));
    let router = match cors(&server.guard.origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(middleware::from_fn_with_state(server.clone(), count)).with_state(server)
}

/// Headers that let these pages read answers.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let allowed = match origins {
        [] => return None,
        origins if origins.iter().any(|origin| origin == "*") => AllowOrigin::any(),
        origins => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    let methods = [Method::GET, Method::POST];
    let cors = CorsLayer::new().allow_origin(allowed).allow_methods(methods).allow_headers(AllowHeaders::mirror_request());
    Some(cors.expose_headers([REQUEST_ID, header::RETRY_AFTER]))
}

/// Turns away who may not ask.
async fn admit(State(server): Shared, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let checked = server.guard.check(&parts).and_then(|()| match length {
        // Said before it is sent.
        Some(length) if length > MOST_BYTES => Err(ErrorReply::too_large(MOST_BYTES)),
        _ => Ok(()),
    });
    match checked {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => Failure(error).into_response(),
    }
}

/// Counts requests, names them by ids, and logs them, without anything that was said. Of a stream it is the time until its first part.
async fn count(State(server): Shared, path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    const PATHS: [&str; 5] = ["/v1/models", "/v1/models/{*id}", "/health", "/metrics", "/stats"];
    let known = Endpoint::ALL.map(Endpoint::path);
    let path = path.and_then(|path| known.into_iter().chain(PATHS).find(|known| *known == path.as_str())).unwrap_or("other");
    let (began, id) = (Instant::now(), Uuid::new_v4().to_string());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    server.metrics.request(path, status);
    log::info!("{path} {status} {:.3} s, {id}", began.elapsed().as_secs_f64());
    let response = ([(REQUEST_ID, id)], response).into_response();
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        let wait = server.metrics.mean().as_secs_f64().ceil().clamp(1.0, 60.0) as u64;
        return ([(header::RETRY_AFTER, wait.to_string())], response).into_response();
    }
    response
}

async fn answer(State(server): Shared, endpoint: Endpoint, request: Request) -> Result<Response, Failure> {
    let place = match server.queue.enter() {
        Ok(place) => place,
        Err(error) => {
            body::pass(request).await;
            return Err(error.into());
        }
    };
    let call = {
        let json = body::read(request.into_body(), PATIENCE).await?;
        Call::from_json(endpoint, &json).map_err(|error| ErrorReply::from(&error))?
    };
    let is_stream = call.stream;
    if let Some(asked) = call.model.as_deref().filter(|asked| !server.names.has(asked)) {
        return Err(ErrorReply::no_such_model(asked, server.names.id()).into());
    }
    let mut asked = place.ask(examined(&server, call).await?)?;
    if is_stream {
        // Who waits for long learns by the stream alone what becomes of the request.
        return match timeout(SILENCE, asked.event()).await {
            Ok(Event::Failed(error)) => Err(error.into()),
            first => Ok(streaming(asked, first.ok())),
        };
    }
    loop {
        match asked.event().await {
            Event::Done(reply) => return Ok(([(header::CONTENT_TYPE, "application/json")], reply.json).into_response()),
            Event::Failed(error) => return Err(error.into()),
            Event::Frame(_) => {}
        }
    }
}

/// Refuses what cannot be answered before it waits. A long prompt takes its time, so that is a thread's of its own.
async fn examined(server: &Server, call: Call) -> Result<Call, ErrorReply> {
    let Some(examiner) = server.examiner.get().cloned() else { return Ok(call) };
    let examine = move || pollster::block_on(examiner.examine(&call)).map(|()| call);
    match spawn_blocking(examine).await {
        Ok(examined) => examined.map_err(|error| ErrorReply::from(&error)),
        Err(error) => Err(ErrorReply::unavailable(format!("the request could not be looked at: {error}"))),
    }
}

/// The frames from `first` on. The connection owns the request's place: it is free as soon as the client has gone.
fn streaming(asked: Asked, first: Option<Event>) -> Response {
    let frames = stream::unfold((Some(asked), first), |(asked, first)| async move {
        let mut asked = asked?;
        let event = match first {
            Some(event) => event,
            // Where nothing has happened for a while a comment keeps the connection.
            None => match timeout(SILENCE, asked.event()).await {
                Ok(event) => event,
                Err(_) => return Some((":\n\n".to_owned(), (Some(asked), None))),
            },
        };
        match event {
            Event::Frame(frame) => Some((frame.to_string(), (Some(asked), None))),
            Event::Done(_) => None,
            Event::Failed(error) => Some((error_frame(&error).to_string(), (None, None))),
        }
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(frames.map(Ok::<_, Infallible>))).into_response()
}

/// The page's files, which have no routes of their own.
async fn other_path(method: Method, uri: Uri) -> Result<Response, Failure> {
    let page = if [Method::GET, Method::HEAD].contains(&method) { page::get(uri.path()) } else { None };
    Ok(page.ok_or_else(|| ErrorReply::no_such_path(method.as_str(), uri.path()))?)
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    ErrorReply::wrong_method(method.as_str(), uri.path()).into()
}

async fn models(State(server): Shared) -> Json<Value> {
    Json(json!({"object": "list", "data": [server.model()]}))
}

async fn model(State(server): Shared, id: Result<Path<String>, PathRejection>) -> Result<Json<Value>, Failure> {
    // What is no UTF-8 is no name either.
    let id = id.map_or_else(|_| "?".to_owned(), |Path(id)| id);
    match server.names.has(&id) {
        true => Ok(Json(server.model())),
        false => Err(ErrorReply::no_such_model(&id, server.names.id()).into()),
    }
}

async fn health(State(server): Shared) -> Response {
    let (status, word) = match server.queue.is_open() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    (status, Json(json!({"status": word}))).into_response()
}

async fn metrics(State(server): Shared) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, server.metrics.text(server.queue.len())).into_response()
}

async fn stats(State(server): Shared) -> Result<Response, Failure> {
    if server.examiner.get().is_none() {
        return Err(ErrorReply::unavailable("the model is being loaded").into());
    }
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, server.asker.json().await?).into_response())
}

impl Server {
    fn model(&self) -> Value {
        json!({"id": self.names.id(), "object": "model", "created": self.started, "owned_by": "quire", "context_length": self.context})
    }
}

/// An error as a response.
struct Failure(ErrorReply);

impl From<ErrorReply> for Failure {
    fn from(error: ErrorReply) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/json")], self.0.json()).into_response()
    }
}
