//! Resolves recordings into pipelines and bind groups once, and encodes them as often as wanted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use kernels::{Access, Command, Kernel, Recording};

use crate::tuning::shape_key;
use crate::{Error, Gpu, platform};

/// Pipelines by kernel, made when first needed.
#[derive(Debug)]
pub struct Executor {
    gpu: Gpu,
    /// Whether kernels that have a wide shape run in it, where [`Gpu::shapes`] does not say.
    is_wide: bool,
    /// Threads of each subgroup, if kernels may count on that.
    subgroup: Option<u32>,
    /// By name, and whether it counts on subgroups.
    pipelines: HashMap<(&'static str, bool), Pipeline>,
}

#[derive(Clone, Debug)]
struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// A recording whose every binding is resolved: encoding it costs no bind group and no write.
#[derive(Debug)]
pub struct Prepared {
    dispatches: Vec<Dispatch>,
}

#[derive(Debug)]
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
    /// As of [`Command::part`].
    part: Option<u32>,
}

impl Executor {
    pub fn new(gpu: Gpu) -> Self {
        Self { subgroup: gpu.subgroup, gpu, is_wide: false, pipelines: HashMap::new() }
    }

    /// Resolves `recording` over `buffers`, by [`kernels::BufferId`].
    ///
    /// # Errors
    /// A buffer that is not there. What the driver refuses shows at [`Gpu::check`].
    pub fn prepare(&mut self, recording: &Recording, buffers: &[wgpu::Buffer]) -> Result<Prepared, Error> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let args = self.gpu.small_buffer("args", (recording.args.len() as u64).max(16), usage);
        self.gpu.write(&args, 0, &recording.args);
        let mut dispatches = Vec::with_capacity(recording.commands.len());
        for command in &recording.commands {
            let command = self.shaped(command);
            let Pipeline { pipeline, layout } = self.pipeline(command.kernel)?;
            let bound = |buffer, offset, bytes| {
                wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size: wgpu::BufferSize::new(bytes) })
            };
            let first = bound(&args, command.args_offset.into(), command.kernel.args_bytes.into());
            let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: first }];
            for (i, slice) in command.bindings.iter().enumerate() {
                let buffer = buffers.get(slice.buffer.0 as usize).ok_or_else(|| Error::Gpu {
                    why: format!("{} binds buffer {} of {}", command.kernel.name, slice.buffer.0, buffers.len()),
                })?;
                entries.push(wgpu::BindGroupEntry { binding: i as u32 + 1, resource: bound(buffer, slice.offset, slice.bytes) });
            }
            let descriptor = wgpu::BindGroupDescriptor { label: Some(command.kernel.name), layout: &layout, entries: &entries };
            let bind_group = self.gpu.device.create_bind_group(&descriptor);
            dispatches.push(Dispatch { pipeline, bind_group, workgroups: command.workgroups, part: command.part });
        }
        self.gpu.count(|c| c.bind_groups += dispatches.len() as u64);
        Ok(Prepared { dispatches })
    }

    /// Has kernels for which nothing else was chosen run in their wide shape, if they have one, or not.
    pub fn set_wide(&mut self, is_wide: bool) {
        self.is_wide = is_wide;
    }

    /// Has kernels count on subgroups where the adapter has them, as they do, or not: for tests.
    pub fn use_subgroups(&mut self, may_use: bool) {
        self.subgroup = self.gpu.subgroup.filter(|_| may_use);
    }

    /// A command in the shape that suits this adapter.
    pub(crate) fn shaped<'a>(&self, command: &'a Command) -> Cow<'a, Command> {
        let is_wide = self.gpu.shapes.borrow().get(&shape_key(command)).copied().unwrap_or(self.is_wide);
        if is_wide { Cow::Owned(command.in_wide_shape()) } else { Cow::Borrowed(command) }
    }

    fn pipeline(&mut self, kernel: &'static Kernel) -> Result<Pipeline, Error> {
        let key = (kernel.name, self.subgroup.is_some());
        if let Some(pipeline) = self.pipelines.get(&key) {
            return Ok(pipeline.clone());
        }
        let device = &self.gpu.device;
        let mut source = kernel.source(self.subgroup).map_err(|why| Error::Gpu { why })?;
        if self.subgroup.is_some() {
            source.insert_str(0, platform::ENABLE_SUBGROUPS);
        }
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(kernel.name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let entries: Vec<_> = kernel.bindings.iter().enumerate().map(|(i, b)| layout_entry(i as u32, b.access)).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.name), entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
            cache: None,
        });
        let made = Pipeline { pipeline, layout };
        self.pipelines.insert(key, made.clone());
        Ok(made)
    }

    /// Runs a recording over buffers of these contents and gives them back: for tests of kernels.
    ///
    /// # Errors
    /// As [`Executor::prepare`], or what the GPU reports.
    pub async fn run(&mut self, recording: &Recording, contents: &[Vec<u32>]) -> Result<Vec<Vec<u32>>, Error> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let mut buffers = Vec::new();
        for words in contents {
            let buffer = self.gpu.buffer("test", (words.len() as u64 * 4).max(16), usage).await?;
            self.gpu.write(&buffer, 0, bytemuck::cast_slice(words));
            buffers.push(buffer);
        }
        let prepared = self.prepare(recording, &buffers)?;
        let mut encoder = self.gpu.encoder();
        prepared.encode(&mut encoder, &self.gpu);
        self.gpu.queue.submit([encoder.finish()]);
        let mut out = Vec::new();
        for (buffer, words) in buffers.iter().zip(contents) {
            let bytes = crate::readback::read(&self.gpu, buffer, 0, words.len() as u64 * 4).await?;
            out.push(bytemuck::pod_collect_to_vec(&bytes));
        }
        Ok(out)
    }
}

impl Prepared {
    pub(crate) fn encode(&self, encoder: &mut wgpu::CommandEncoder, gpu: &Gpu) {
        self.encode_range(encoder, gpu, 0..self.dispatches.len(), u32::MAX);
    }

    /// Some of the dispatches, by their number in the recording, for a sequence that has `n_positions` at most.
    pub(crate) fn encode_range(&self, encoder: &mut wgpu::CommandEncoder, gpu: &Gpu, range: Range<usize>, n_positions: u32) {
        let dispatches = self.dispatches.get(range).unwrap_or_default();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for Dispatch { pipeline, bind_group, workgroups: [x, y, z], part } in dispatches {
            // Software adapters pay for a workgroup that has nothing to do as for one that has.
            let most = part.map_or(u32::MAX, |part| n_positions.div_ceil(part));
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups((*x).min(most), *y, *z);
        }
        gpu.count(|c| c.dispatches += dispatches.len() as u64);
    }
}

fn layout_entry(binding: u32, access: Access) -> wgpu::BindGroupLayoutEntry {
    let ty = match access {
        Access::Uniform => wgpu::BufferBindingType::Uniform,
        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}
