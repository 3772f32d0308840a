// A GPU for the kernel tests: takes job after job from kernels.mjs, as tests/tests/kernels/browser.rs writes them, and gives back
// what the buffers hold afterwards.

const { STORAGE, UNIFORM, COPY_DST, COPY_SRC, MAP_READ } = GPUBufferUsage;
/** Jobs under way: while one is read back, the next is prepared. */
const AT_ONCE = 4;

const adapter = await navigator.gpu.requestAdapter();
const requiredFeatures = ["subgroups"].filter((feature) => adapter.features.has(feature));
const device = await adapter.requestDevice({ requiredFeatures });
device.addEventListener("uncapturederror", ({ error }) => console.error(error.message));

/** Promises of pipelines, by their text. */
const pipelines = new Map();

function pipeline({ name, wgsl, access }) {
  let made = pipelines.get(wgsl);
  if (!made) {
    const entries = access.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } }));
    const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
    const module = device.createShaderModule({ label: name, code: wgsl });
    made = device.createComputePipelineAsync({ label: name, layout, compute: { module, entryPoint: "main" } });
    pipelines.set(wgsl, made);
  }
  return made;
}

/** `bytes` are the arguments of the commands, then the buffers. */
async function run({ kernels, commands, argsBytes, sizes }, bytes) {
  const made = await Promise.all(kernels.map(pipeline));
  device.pushErrorScope("validation");
  let at = 0;
  const upload = (size, usage) => {
    const buffer = device.createBuffer({ size, usage: usage | COPY_DST });
    device.queue.writeBuffer(buffer, 0, bytes, at, size);
    at += size;
    return buffer;
  };
  const args = upload(argsBytes, UNIFORM);
  const buffers = sizes.map((size) => upload(size, STORAGE | UNIFORM | COPY_SRC));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const { kernel, args: offset, bindings, workgroups } of commands) {
    const bound = bindings.map(([buffer, offset, size]) => ({ buffer: buffers[buffer], offset, size }));
    const resources = [{ buffer: args, offset, size: kernels[kernel].argsBytes }, ...bound];
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    pass.setPipeline(made[kernel]);
    pass.setBindGroup(0, device.createBindGroup({ layout: made[kernel].getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(...workgroups);
  }
  pass.end();
  const after = device.createBuffer({ size: bytes.length - argsBytes, usage: MAP_READ | COPY_DST });
  let end = 0;
  buffers.forEach((buffer, i) => {
    encoder.copyBufferToBuffer(buffer, 0, after, end, sizes[i]);
    end += sizes[i];
  });
  device.queue.submit([encoder.finish()]);
  const invalid = await device.popErrorScope();
  if (invalid) throw new Error(invalid.message);
  await after.mapAsync(GPUMapMode.READ);
  const words = after.getMappedRange().slice(0);
  [args, after, ...buffers].forEach((buffer) => buffer.destroy());
  return words;
}

async function serve() {
  for (;;) {
    const asked = await fetch("/job");
    const bytes = new Uint8Array(await asked.arrayBuffer());
    const line = bytes.indexOf(10);
    const job = JSON.parse(new TextDecoder().decode(bytes.subarray(0, line)));
    const body = await run(job, bytes.subarray(line + 1)).catch((error) => error.message);
    await fetch(`/done?${asked.headers.get("number")}`, { method: "POST", body });
  }
}

const { subgroupMinSize: least, subgroupMaxSize: most } = adapter.info;
// As the engine has it (crates/engine/src/gpu.rs).
const suits = least >= 4 && (least >= 32 || least === most);
/** What kernels.mjs asks for: the threads of each subgroup, if kernels may count on them. */
window.adapter = { subgroup: requiredFeatures.length && suits ? least : undefined };
// It ends with the page.
for (let i = 0; i < AT_ONCE; i += 1) serve().catch(() => {});
