/** How much of a device's memory experts get where nobody says. */

/** What a browser tells of its device, if it does. */
export interface Device {
  /** GiB, rounded; many say 8 of all that have more. */
  deviceMemory?: number;
  userAgentData?: { mobile?: boolean };
}

/** GiB that are left to the GPU, the browser and everybody else before experts get any. */
const RESERVED = 4;

/** Bytes, as `EngineOptions.maxRamBytes` promises. */
export function defaultRamBytes({ deviceMemory = 0, userAgentData }: Device): number {
  if (userAgentData?.mobile) return 0;
  return (Math.max(0, deviceMemory - RESERVED) / 4) * 2 ** 30;
}
