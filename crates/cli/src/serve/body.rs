//! A request's body, which is read only by who has a place: so all that are in hand take no more memory than so many places allow.

use std::time::Duration;

use api::ErrorReply;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use futures_util::StreamExt;
use tokio::time::timeout;

/// Bytes that a request may have: a context of 131,072 tokens as JSON, many times over.
pub(super) const MOST_BYTES: usize = 16 << 20;
/// How long nothing may come of a request that is not there yet: it has a place that others could use.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// All of `body`, whose parts come no further apart than `patience`.
///
/// # Errors
/// If it is too large, breaks off, or is no text.
pub(super) async fn read(body: Body, patience: Duration) -> Result<String, ErrorReply> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(MOST_BYTES);
    let mut read = Vec::with_capacity(announced.min(MOST_BYTES));
    let mut parts = body.into_data_stream();
    while let Some(part) = next(&mut parts, patience).await? {
        if read.len() + part.len() > MOST_BYTES {
            return Err(ErrorReply::too_large(MOST_BYTES));
        }
        read.extend_from_slice(&part);
    }
    String::from_utf8(read).map_err(|error| ErrorReply::invalid(format!("the request is no UTF-8: {error}")))
}

/// Lets the body of a request pass that is refused: some clients hear no answer before they have sent all. Those who ask first need not send it.
pub(super) async fn pass(request: Request) {
    if request.headers().contains_key(header::EXPECT) {
        return;
    }
    let mut parts = request.into_body().into_data_stream();
    let mut passed = 0;
    while let Ok(Some(part)) = next(&mut parts, PATIENCE).await {
        passed += part.len();
        if passed > MOST_BYTES {
            break;
        }
    }
}

async fn next(parts: &mut BodyDataStream, patience: Duration) -> Result<Option<Bytes>, ErrorReply> {
    match timeout(patience, parts.next()).await {
        Ok(part) => part.transpose().map_err(|error| ErrorReply::invalid(format!("the request broke off: {error}"))),
        Err(_) => Err(ErrorReply::timed_out(patience)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    fn read_all(parts: Vec<Vec<u8>>, goes_on: bool) -> Result<String, u16> {
        let parts = stream::iter(parts.into_iter().map(Ok::<_, Infallible>));
        let body = match goes_on {
            true => Body::from_stream(parts.chain(stream::pending())),
            false => Body::from_stream(parts),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(read(body, Duration::from_millis(50))).map_err(|error| error.status)
    }

    #[test]
    fn a_body_is_its_parts_up_to_a_size() {
        assert_eq!(read_all(vec![b"gr\xC3".to_vec(), b"\xBC\xC3\x9Fe".to_vec()], false), Ok("grüße".to_owned()));
        assert_eq!(read_all(vec![vec![b' '; MOST_BYTES]], false).unwrap().len(), MOST_BYTES);
        assert_eq!(read_all(vec![vec![b' '; MOST_BYTES], vec![b' ']], false), Err(400));
        assert_eq!(read_all(vec![b"\xFF".to_vec()], false), Err(400));
    }

    #[test]
    fn a_body_that_does_not_come_is_not_waited_for() {
        assert_eq!(read_all(vec![b"{".to_vec()], true), Err(408));
    }
}
