//! When something last happened to each expert.

/// Events are counted; each expert remembers the number of its last.
#[derive(Debug, Clone)]
pub(super) struct Times {
    events: u64,
    /// [experts]; 0 for never.
    last: Vec<u64>,
}

impl Times {
    pub(super) fn new(n_experts: u32) -> Self {
        Self { events: 0, last: vec![0; n_experts as usize] }
    }

    /// Begins an event, of which any number of experts can be part.
    pub(super) fn tick(&mut self) {
        self.events += 1;
    }

    /// `expert` is part of the event begun last.
    pub(super) fn stamp(&mut self, expert: u32) {
        if let Some(last) = self.last.get_mut(expert as usize) {
            *last = self.events;
        }
    }

    /// The number of the expert's last event; below all others for an id that is no expert's.
    pub(super) fn of(&self, expert: u32) -> f64 {
        self.last.get(expert as usize).map_or(f64::NEG_INFINITY, |&last| last as f64)
    }

    /// Events since the expert's last, from 0; 0 for an id that is no expert's.
    pub(super) fn age(&self, expert: u32) -> f64 {
        self.last.get(expert as usize).map_or(0.0, |&last| (self.events - last) as f64)
    }
}
