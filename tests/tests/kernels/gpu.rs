//! The GPU that recordings run on: this machine's, or a browser's.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

use engine::{Executor, Gpu};
use kernels::Recording;

use crate::browser;

/// In which shape kernels run that have two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    Narrow,
    Wide,
    WideInSubgroups,
}

/// Whether there is such a shape: this machine's adapter runs the wide one twice where it has no subgroups.
pub(crate) fn has(shape: Shape) -> bool {
    shape != Shape::WideInSubgroups || browser::given().is_none_or(|browser| browser.subgroup.is_some())
}

/// What buffers of these contents hold after the recording.
pub(crate) fn run(recording: &Recording, buffers: &[Vec<u32>], shape: Shape) -> Vec<Vec<u32>> {
    let result = match browser::given() {
        Some(browser) => browser.run(recording, buffers, shape),
        None => run_here(recording, buffers, shape),
    };
    result.unwrap_or_else(|e| panic!("GPU: {e}"))
}

/// A recording, its buffers, the shape it runs in, and where the buffers go afterwards.
type Job = (Recording, Vec<Vec<u32>>, Shape, Sender<Result<Vec<Vec<u32>>, String>>);

/// The thread that has the device: all tests share its pipelines.
fn thread() -> &'static Mutex<Sender<Job>> {
    static THREAD: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    THREAD.get_or_init(|| {
        let (sender, jobs) = channel::<Job>();
        std::thread::spawn(move || {
            let mut executor = pollster::block_on(Gpu::open()).map(Executor::new);
            for (recording, buffers, shape, reply) in jobs {
                let result = match &mut executor {
                    Ok(executor) => {
                        executor.set_wide(shape != Shape::Narrow);
                        executor.use_subgroups(shape == Shape::WideInSubgroups);
                        pollster::block_on(executor.run(&recording, &buffers)).map_err(|e| e.to_string())
                    }
                    Err(e) => {
                        Err(format!("kernel tests need one, and software Vulkan will do (Debian: mesa-vulkan-drivers libvulkan1): {e}"))
                    }
                };
                reply.send(result).ok();
            }
        });
        Mutex::new(sender)
    })
}

fn run_here(recording: &Recording, buffers: &[Vec<u32>], shape: Shape) -> Result<Vec<Vec<u32>>, String> {
    let (reply, result) = channel();
    thread().lock().unwrap().send((recording.clone(), buffers.to_vec(), shape, reply)).unwrap();
    result.recv().unwrap()
}
