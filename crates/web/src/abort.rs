//! An `AbortSignal` as the engine's `Cancel`, and as the end of a future.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use engine::Cancel;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

/// Listens to a signal as long as it lives.
pub(crate) struct Abort {
    cancel: Cancel,
    waker: Rc<RefCell<Option<Waker>>>,
    listening: Option<(web_sys::AbortSignal, Closure<dyn FnMut()>)>,
}

impl Abort {
    pub(crate) fn new(signal: Option<web_sys::AbortSignal>) -> Self {
        let (cancel, waker) = (Cancel::default(), Rc::<RefCell<Option<Waker>>>::default());
        let listening = signal.map(|signal| {
            if signal.aborted() {
                cancel.cancel();
            }
            let (cancel, waker) = (cancel.clone(), waker.clone());
            let listener = Closure::<dyn FnMut()>::new(move || {
                cancel.cancel();
                if let Some(waker) = waker.borrow_mut().take() {
                    waker.wake();
                }
            });
            // Listening to a signal cannot fail.
            let _ = signal.add_event_listener_with_callback("abort", listener.as_ref().unchecked_ref());
            (signal, listener)
        });
        Self { cancel, waker, listening }
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// `work`'s result, or `None` as soon as the signal is aborted; `work` is dropped then.
    pub(crate) async fn guard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if self.cancel.is_cancelled() {
                return Poll::Ready(None);
            }
            self.waker.replace(Some(context.waker().clone()));
            work.as_mut().poll(context).map(Some)
        })
        .await
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        if let Some((signal, listener)) = &self.listening {
            let _ = signal.remove_event_listener_with_callback("abort", listener.as_ref().unchecked_ref());
        }
    }
}
