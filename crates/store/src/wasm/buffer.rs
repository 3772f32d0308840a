//! Host memory for bytes that stay, outside wasm memory, which never shrinks and is too small for tensors.

use std::ops::ControlFlow;

use js_sys::{Array, Function, Reflect, Uint8Array};
use wasm_bindgen::JsCast;

use super::copy;
use crate::Sink;
use crate::source::WINDOW_BYTES;

/// A fixed number of bytes.
#[derive(Debug)]
pub(crate) struct Buffer(Uint8Array);

impl Buffer {
    /// Zeros; `None` if the browser does not give so much memory.
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        // The constructor itself would throw, and nobody here could catch it.
        let constructor: Function = Reflect::get(&js_sys::global(), &"Uint8Array".into()).ok()?.dyn_into().ok()?;
        let length = u32::try_from(bytes).ok()?;
        Some(Self(Reflect::construct(&constructor, &Array::of1(&length.into())).ok()?.dyn_into().ok()?))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.length() as usize
    }

    /// Puts `piece` at `at`.
    ///
    /// # Panics
    /// If it does not end inside.
    pub(crate) fn write(&mut self, at: usize, piece: &[u8]) {
        // Offsets of wasm memory fit into 32 bits.
        self.0.subarray(at as u32, (at + piece.len()) as u32).copy_from(piece);
    }

    /// Hands all bytes on in pieces of at most [`WINDOW_BYTES`], until the sink breaks.
    pub(crate) fn give(&self, sink: &mut Sink<'_>) -> ControlFlow<()> {
        let mut window = vec![0; WINDOW_BYTES];
        let mut at = 0;
        while at < self.0.length() {
            let n = copy(&self.0, at, &mut window);
            sink(&window[..n as usize])?;
            at += n;
        }
        ControlFlow::Continue(())
    }
}
