//! Waiting on a native device: nothing moves unless it is polled.

use futures_channel::oneshot::Receiver;

pub(crate) const BACKENDS: wgpu::Backends = wgpu::Backends::PRIMARY;

/// What `receiver` gets once `submission` is done.
pub(crate) async fn wait<T>(device: &wgpu::Device, submission: &wgpu::SubmissionIndex, receiver: Receiver<T>) -> Option<T> {
    let done = wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: None };
    if let Err(error) = device.poll(done) {
        log::warn!("waiting for the GPU: {error}");
    }
    receiver.await.ok()
}
