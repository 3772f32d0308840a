/** How much of a device's memory a model gets where nobody says. */

/** What a browser tells of its device, if it does. */
export interface Device {
  /** GiB, rounded; many say 8 of all that have more. */
  deviceMemory?: number;
  userAgentData?: { mobile?: boolean };
  userAgent?: string;
}

/** Some browsers tell of it by their names alone. */
function isPhone({ userAgentData, userAgent = "" }: Device): boolean {
  return userAgentData?.mobile ?? /Mobi|Android/.test(userAgent);
}

/** GiB that are left to the GPU, the browser and everybody else before experts get any. */
const RESERVED = 4;

/** Bytes, as `EngineOptions.maxRamBytes` promises. */
export function defaultRamBytes(device: Device): number {
  if (isPhone(device)) return 0;
  return (Math.max(0, (device.deviceMemory ?? 0) - RESERVED) / 4) * 2 ** 30;
}

/** Of a device that does not tell: what many laptops have. */
const USUAL = 8;

/** Bytes, as `EngineOptions.maxGpuBytes` promises. */
export function usualGpuBytes(device: Device): number {
  return ((device.deviceMemory ?? USUAL) / (isPhone(device) ? 4 : 2)) * 2 ** 30;
}
