//! Waiting in a browser: the event loop runs callbacks while the future sleeps.

use futures_channel::oneshot::Receiver;

pub(crate) const BACKENDS: wgpu::Backends = wgpu::Backends::BROWSER_WEBGPU;

/// Seconds that a prefill chunk should take: browsers give up on longer ones, whatever computes them.
pub(crate) fn chunk_seconds(_is_software: bool) -> f64 {
    0.4
}

/// What `receiver` gets once the browser says so.
pub(crate) async fn wait<T>(_: &wgpu::Device, _: &wgpu::SubmissionIndex, receiver: Receiver<T>) -> Option<T> {
    receiver.await.ok()
}
