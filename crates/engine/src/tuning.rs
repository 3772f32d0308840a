//! Which shape of each matrix kernel suits an adapter.

use std::time::Duration;

use kernels::Recording;
use kernels::ops::Pass;
use web_time::Instant;

use crate::timing::kinds;
use crate::{Engine, Error};

/// For each kernel in each shape.
const AT_LEAST: Duration = Duration::from_millis(20);
/// For all of them: a browser may look only ten times a second whether work is done.
const AT_MOST: Duration = Duration::from_secs(1);
/// The wide shape stays unless it takes so many times as long: what is measured is never quite the same, answers should be.
const CLEARLY: f64 = 1.1;

impl Engine {
    /// Chooses shapes as [`Engine::try_shapes`] does; but a software adapter gets the narrow ones untried, since there a pipeline takes
    /// long to make and every thread is work.
    pub(crate) async fn tune(&mut self) -> Result<(), Error> {
        if self.gpu.is_software() { Ok(()) } else { self.try_shapes().await }
    }

    /// Runs each matrix kernel of decode steps in both its shapes, over whatever is in memory, and keeps to the faster one.
    /// What was chosen for this adapter before stays so; the wide one stays where there was no time to try, or little between them.
    ///
    /// # Errors
    /// What the GPU reports.
    pub async fn try_shapes(&mut self) -> Result<(), Error> {
        let most = self.model.options.sequences;
        let mut kinds_of_all = Vec::new();
        for pass in [Pass::Alone, Pass::Batch { n: most.next_power_of_two(), most }] {
            let mut step = self.model.forward(pass);
            self.model.head(&mut step, 0, pass);
            step.commands.retain(|command| command.kernel.wide.is_some());
            kinds_of_all.extend(kinds(step));
            if most == 1 {
                break;
            }
        }
        self.executor.set_wide(true);
        let began = Instant::now();
        for kind in kinds_of_all {
            let command = &kind.commands[0];
            let shape = (command.kernel.name, command.n_rows);
            if self.gpu.shapes.borrow().contains_key(&shape) {
                continue;
            }
            let is_wide = if began.elapsed() > AT_MOST { Ok(true) } else { self.is_wide_better(&kind, shape).await };
            match is_wide {
                Ok(is_wide) => self.gpu.shapes.borrow_mut().insert(shape, is_wide),
                // What was being tried was not chosen.
                Err(_) => self.gpu.shapes.borrow_mut().remove(&shape),
            };
            is_wide?;
        }
        self.steps.clear();
        self.histories[0] = Default::default();
        Ok(())
    }

    async fn is_wide_better(&mut self, kind: &Recording, shape: (&'static str, u32)) -> Result<bool, Error> {
        let mut seconds = [0.0; 2];
        for (is_wide, took) in [false, true].into_iter().zip(&mut seconds) {
            self.gpu.shapes.borrow_mut().insert(shape, is_wide);
            *took = self.time(kind, 1, AT_LEAST).await?;
        }
        let [narrow, wide] = seconds;
        let (name, rows) = shape;
        log::debug!("{name}, {rows} rows: {:.1} us, {:.1} us in the wide shape", narrow * 1e6, wide * 1e6);
        Ok(wide < narrow * CLEARLY)
    }
}
