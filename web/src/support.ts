/** Whether this browser can run the engine, and in words why not. */

/** `reason` says in words what is missing, and what may help. */
export type Support = { ok: true } | { ok: false; reason: string };

/** Whether an engine can run here. Asks for an adapter; downloads nothing, and never rejects. */
export async function isSupported(): Promise<Support> {
  if (!globalThis.isSecureContext) {
    return { ok: false, reason: "WebGPU needs a secure page: open it over https or from localhost." };
  }
  if (!navigator.gpu) {
    return {
      ok: false,
      reason:
        "This browser has no WebGPU. Use a current Chrome, Edge, Firefox or Safari; on Linux it may have to be switched on.",
    };
  }
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) {
    return {
      ok: false,
      reason:
        "This browser has WebGPU but offers no graphics adapter. Check that hardware acceleration is on and the driver is up to date.",
    };
  }
  return { ok: true };
}
