//! Whether kernels may add up in subgroups on a device.

use crate::{Gpu, platform, readback};

/// Of the kernels that do, at most.
const LANES: u32 = 32;
const THREADS: u32 = 128;

/// Whether it has them, which of a browser's device wgpu does not know, and whether threads that are neighbours in a workgroup are neighbours
/// in a subgroup of `size` threads or more, which nobody promises: a kernel that adds up in them proves both.
pub(crate) async fn add_up(gpu: &Gpu, size: u32) -> bool {
    let lanes = size.min(LANES);
    let text = format!(
        "{}@group(0) @binding(0) var<storage, read_write> sums: array<u32>;
        @compute @workgroup_size({THREADS}) fn main(@builtin(local_invocation_index) thread: u32) {{
            var sum = thread * thread;
            for (var apart = 1u; apart < {lanes}u; apart *= 2u) {{ sum += subgroupShuffleXor(sum, apart); }}
            sums[thread] = sum;
        }}",
        platform::ENABLE_SUBGROUPS
    );
    let device = &gpu.device;
    let valid = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let source = wgpu::ShaderSource::Wgsl(text.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("subgroups"), source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("subgroups"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let bytes = u64::from(THREADS) * 4;
    let sums = gpu.small_buffer("subgroups", bytes, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let layout = pipeline.get_bind_group_layout(0);
    let entries = [wgpu::BindGroupEntry { binding: 0, resource: sums.as_entire_binding() }];
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some("subgroups"), layout: &layout, entries: &entries });
    let mut encoder = gpu.encoder();
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &bind_group, &[]);
    pass.dispatch_workgroups(1, 1, 1);
    drop(pass);
    gpu.queue.submit([encoder.finish()]);
    if valid.pop().await.is_some() {
        return false;
    }
    let expected = (0..THREADS).map(|thread| {
        let first = thread / lanes * lanes;
        (first..first + lanes).map(|i| i * i).sum::<u32>()
    });
    readback::read(gpu, &sums, 0, bytes).await.is_ok_and(|got| got.chunks(4).map(bytemuck::pod_read_unaligned::<u32>).eq(expected))
}
