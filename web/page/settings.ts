/** What the person has set, kept from visit to visit; the page's own address has the last word. */

import type { ChatRequest, EngineOptions } from "../src/index.ts";
import { toolsOf, wrongIn } from "./tools.ts";

const KEY = "quire-settings";

/** Numbers that may be set, and between what. What is absent is as the engine has it. */
export const ranges = {
  temperature: [0, 2],
  top_p: [0, 1],
  top_k: [0, 1000],
  max_tokens: [1, 1_000_000],
  contextLength: [256, 1_048_576],
  maxGpuBytes: [1e6, 1e13],
  maxRamBytes: [0, 1e13],
} as const;

type NumberName = keyof typeof ranges;
const whole: ReadonlySet<string> = new Set<NumberName>(["top_k", "max_tokens", "contextLength", "maxGpuBytes", "maxRamBytes"]);

export type Settings = { [name in NumberName]?: number } & {
  system: string;
  /** As they were written; what is wrong is not taken. */
  tools: string;
  reasoning_effort: "" | "low" | "medium" | "high";
  /** Empty is the browser's. */
  language: "" | "en" | "zh";
  theme: "" | "light" | "dark";
};

const words = { reasoning_effort: ["low", "medium", "high"], language: ["en", "zh"], theme: ["light", "dark"] } as const;

/** Settings out of whatever was kept; what is not valid is as if it were absent. */
export function parse(json: string | null): Settings {
  let kept: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(json ?? "{}");
    if (value && typeof value === "object") kept = value as Record<string, unknown>;
  } catch {
    // As if there were none.
  }
  const text = (name: string) => (typeof kept[name] === "string" ? kept[name] : "");
  const found: Settings = { system: text("system"), tools: text("tools"), reasoning_effort: "", language: "", theme: "" };
  if (wrongIn(found.tools)) found.tools = "";
  for (const name of Object.keys(ranges) as NumberName[]) {
    const value = kept[name];
    if (typeof value === "number" && isWithin(name, value)) found[name] = value;
  }
  for (const name of Object.keys(words) as (keyof typeof words)[]) {
    const value = words[name].find((word) => word === kept[name]);
    if (value) Object.assign(found, { [name]: value });
  }
  return found;
}

export function isWithin(name: NumberName, value: number): boolean {
  const [least, most] = ranges[name];
  return value >= least && value <= most && (!whole.has(name) || Number.isInteger(value));
}

export function load(): Settings {
  try {
    return parse(localStorage.getItem(KEY));
  } catch {
    return parse(null); // storage is forbidden
  }
}

export function save(settings: Settings): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // They hold until the page is closed.
  }
}

/** What every request says: the settings, and over them the address, such as `?temperature=0&reasoning_effort=low`. */
export function requestOf(settings: Settings, query: string): Partial<ChatRequest> {
  const { temperature, top_p, top_k, max_tokens, reasoning_effort } = settings;
  const set = { temperature, top_p, top_k, max_tokens, reasoning_effort: reasoning_effort || undefined };
  const known = Object.entries(set).filter(([, value]) => value !== undefined);
  const tools = toolsOf(settings.tools);
  return { ...Object.fromEntries(known), ...(tools.length > 0 && { tools }), ...fromAddress(query) };
}

function fromAddress(query: string): Partial<ChatRequest> {
  const asked = new URLSearchParams(query);
  const found: Partial<ChatRequest> = {};
  for (const name of ["temperature", "top_p", "top_k", "seed", "max_tokens"] as const) {
    const value = asked.get(name);
    if (value?.trim() && Number.isFinite(Number(value))) found[name] = Number(value);
  }
  const effort = asked.get("reasoning_effort");
  if (effort === "low" || effort === "medium" || effort === "high") found.reasoning_effort = effort;
  return found;
}

type EngineSettings = Pick<EngineOptions, "contextLength" | "maxGpuBytes" | "maxRamBytes">;

/** What an engine is given: the settings, and over them the address, such as `?max_gpu_bytes=2e9&max_ram_bytes=1e9`. */
export function engineOf(settings: Settings, query: string): EngineSettings {
  const asked = new URLSearchParams(query);
  const of = (name: string, least: number) => {
    const value = Number(asked.get(name) || NaN);
    return value >= least ? value : undefined;
  };
  const all = {
    contextLength: of("context_length", 1) ?? settings.contextLength,
    maxGpuBytes: of("max_gpu_bytes", 1) ?? settings.maxGpuBytes,
    maxRamBytes: of("max_ram_bytes", 0) ?? settings.maxRamBytes,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as EngineSettings;
}
