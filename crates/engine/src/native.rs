//! Waiting on a native device: nothing moves unless it is polled.

use futures_channel::oneshot::Receiver;

pub(crate) const BACKENDS: wgpu::Backends = wgpu::Backends::PRIMARY;
/// naga knows subgroups without it, and not it.
pub(crate) const ENABLE_SUBGROUPS: &str = "";

/// What `receiver` gets once `submission` is done; `None` if it gets nothing, as of a device that was lost.
pub(crate) async fn wait<T>(device: &wgpu::Device, submission: &wgpu::SubmissionIndex, mut receiver: Receiver<T>) -> Option<T> {
    // What was submitted to a lost device is never done: its callbacks come, if at all, with all that is left.
    for submission_index in [Some(submission.clone()), None] {
        if let Err(error) = device.poll(wgpu::PollType::Wait { submission_index, timeout: None }) {
            log::warn!("waiting for the GPU: {error}");
        }
        if let Ok(Some(got)) = receiver.try_recv() {
            return Some(got);
        }
    }
    None
}
