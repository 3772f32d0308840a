//! Which shape of each matrix kernel suits an adapter.

use std::borrow::Cow;
use std::time::Duration;

use kernels::ops::{Pass, Route};
use kernels::{Command, Recording};
use web_time::Instant;

use crate::history::History;
use crate::timing::kinds;
use crate::{Engine, Error, Gpu};

/// A kernel's name and the rows of its matrix.
pub(crate) type ShapeKey = (Cow<'static, str>, u32);

/// What was found of a kernel on an adapter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    pub kernel: String,
    /// Of the matrix.
    pub rows: u32,
    pub is_wide: bool,
}

impl Gpu {
    /// What was chosen on this adapter so far, in order.
    pub fn shapes(&self) -> Vec<Shape> {
        let chosen = self.shapes.borrow();
        let shape = |((kernel, rows), is_wide): (&ShapeKey, &bool)| Shape { kernel: kernel.to_string(), rows: *rows, is_wide: *is_wide };
        let mut shapes: Vec<_> = chosen.iter().map(shape).collect();
        shapes.sort();
        shapes
    }

    /// Goes by what was chosen at an earlier visit.
    pub fn restore_shapes(&self, shapes: Vec<Shape>) {
        let chosen = shapes.into_iter().map(|Shape { kernel, rows, is_wide }| ((kernel.into(), rows), is_wide));
        self.shapes.borrow_mut().extend(chosen);
    }
}

/// For each kernel in each shape.
const AT_LEAST: Duration = Duration::from_millis(20);
/// For all of them: a browser may look only ten times a second whether work is done.
const AT_MOST: Duration = Duration::from_secs(1);
/// The wide shape stays unless it takes so many times as long: what is measured is never quite the same, answers should be.
const CLEARLY: f64 = 1.1;

/// Tokens of the chunk that prefill's kernels are tried with, and prompts have about so many at least.
const CHUNK: u32 = 64;
/// Choices an expert has in it: a whole block, as in most of a long prompt.
const CHOICES_EACH: u32 = 32;

impl Engine {
    /// Chooses shapes as [`Engine::try_shapes`] does; but a software adapter gets the narrow ones untried, since there a pipeline takes
    /// long to make and every thread is work.
    pub(crate) async fn tune(&mut self) -> Result<(), Error> {
        if self.gpu.is_software() { Ok(()) } else { self.try_shapes().await }
    }

    /// Runs the matrix kernels in both their shapes, over whatever is in memory, and keeps to the faster one: each kernel of decode steps by
    /// itself, those of a prompt's chunk together, since its experts' kernels must agree on their tiles. What was chosen for this adapter
    /// before stays so; the wide shape stays where there was no time to try, or little between them. Kernels without a matrix run wide: what
    /// they need depends on the position, and little of a step's time goes to them.
    ///
    /// # Errors
    /// What the GPU reports.
    pub async fn try_shapes(&mut self) -> Result<(), Error> {
        self.executor.set_wide(true);
        self.model.always_in_tiles = true;
        let (chunk, most) = (CHUNK.min(self.model.options.chunk), self.model.options.sequences);
        let began = Instant::now();
        let experts = self.model.config.experts;
        self.spread_routes(most, experts.n);
        for pass in [Pass::Alone, Pass::Batch { n: most.next_power_of_two(), most }] {
            let mut step = self.model.forward(pass);
            self.model.head(&mut step, 0, pass);
            step.commands.retain(|command| command.product.is_some());
            for trial in kinds(in_two_shapes(step)) {
                self.choose(&trial, began).await?;
            }
            if most == 1 {
                break;
            }
        }
        if chunk > 1 {
            self.spread_routes(chunk, (chunk * experts.n_used / CHOICES_EACH).clamp(1, experts.n.max(1)));
            self.choose(&one_of_each_kind(in_two_shapes(self.model.forward(Pass::Chunk(chunk)))), began).await?;
        }
        self.steps.clear();
        self.histories[0] = History::default();
        Ok(())
    }

    /// Has every kernel run in its wide shape, or none, whatever was chosen: for tests.
    pub fn set_shapes(&mut self, are_wide: bool) {
        self.gpu.shapes.borrow_mut().clear();
        self.executor.set_wide(are_wide);
        self.model.always_in_tiles = are_wide;
        self.rows_agree = None;
        self.steps.clear();
        self.histories.fill(History::default());
    }

    /// Chooses a shape for the kernels of a trial, which must agree, unless there is one already or trials have taken too long since `began`.
    async fn choose(&mut self, trial: &Recording, began: Instant) -> Result<(), Error> {
        let shapes: Vec<_> = trial.commands.iter().map(shape_key).collect();
        if self.is_chosen(&shapes) {
            return Ok(());
        }
        let is_wide = if began.elapsed() > AT_MOST { Ok(true) } else { self.is_wide_better(trial, &shapes).await };
        let mut chosen = self.gpu.shapes.borrow_mut();
        for shape in shapes {
            match is_wide {
                Ok(is_wide) => chosen.insert(shape, is_wide),
                // What was being tried was not chosen.
                Err(_) => chosen.remove(&shape),
            };
        }
        is_wide.map(drop)
    }

    /// Whether kernels that must agree do, by what was chosen before.
    fn is_chosen(&self, shapes: &[ShapeKey]) -> bool {
        let chosen = self.gpu.shapes.borrow();
        let [first, others @ ..] = shapes else { return true };
        chosen.contains_key(first) && others.iter().all(|shape| chosen.get(shape) == chosen.get(first))
    }

    async fn is_wide_better(&mut self, trial: &Recording, shapes: &[ShapeKey]) -> Result<bool, Error> {
        let mut seconds = [0.0; 2];
        for (is_wide, took) in [false, true].into_iter().zip(&mut seconds) {
            self.gpu.shapes.borrow_mut().extend(shapes.iter().map(|shape| (shape.clone(), is_wide)));
            *took = self.time(trial, 1, AT_LEAST).await?;
        }
        let [narrow, wide] = seconds;
        log::debug!("{shapes:?}: {:.1} us, {:.1} us in the wide shape", narrow * 1e6, wide * 1e6);
        Ok(wide < narrow * CLEARLY)
    }

    /// Has the choices of `n_tokens` fall on `n_experts` and their slots alike, so that weights come from memory as in a step.
    fn spread_routes(&self, n_tokens: u32, n_experts: u32) {
        if !self.model.is_sparse() {
            return;
        }
        let experts = self.model.config.experts;
        let n_slots = self.experts.n_slots();
        for (layer, routes) in self.model.state.routes.iter().enumerate() {
            let route = |i| Route { expert: i % n_experts, slot: i % n_experts % n_slots, weight: 0.0, wanted: i % n_experts };
            let mut spread: Vec<Route> = (layer as u32..).take((n_tokens * experts.n_used) as usize).map(route).collect();
            // Rows that nobody has choose nobody.
            let done = Route { expert: 0, slot: Route::DONE, weight: 0.0, wanted: 0 };
            spread.resize(routes.bytes as usize / size_of::<Route>(), done);
            self.write(*routes, bytemuck::cast_slice(&spread));
        }
    }
}

/// What decides about a command's shape.
pub(crate) fn shape_key(command: &Command) -> ShapeKey {
    (command.kernel.name.into(), command.product.map_or(0, |product| product.n_rows))
}

fn in_two_shapes(mut step: Recording) -> Recording {
    step.commands.retain(|command| command.kernel.wide.is_some());
    step
}

/// About a layer's dispatches.
fn one_of_each_kind(step: Recording) -> Recording {
    let args = step.args.clone();
    let commands = kinds(step).into_iter().filter_map(|kind| kind.commands.into_iter().next()).collect();
    Recording { commands, args }
}
