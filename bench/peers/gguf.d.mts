import type { ModelSpec } from "../../src/native/model-spec.js";

/** See gguf.mjs. */
export function writeGguf(options: {
  source: string;
  target: string;
  model: ModelSpec;
  precision: "fp32" | "fp16" | "bf16";
}): void;
