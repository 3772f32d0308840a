//! Waiting in a browser: the event loop runs callbacks while the future sleeps.

use futures_channel::oneshot::Receiver;

pub(crate) const BACKENDS: wgpu::Backends = wgpu::Backends::BROWSER_WEBGPU;
/// First in a shader that uses them.
pub(crate) const ENABLE_SUBGROUPS: &str = "enable subgroups;\n";

/// What `receiver` gets once the browser says so.
pub(crate) async fn wait<T>(_: &wgpu::Device, _: &wgpu::SubmissionIndex, receiver: Receiver<T>) -> Option<T> {
    receiver.await.ok()
}
