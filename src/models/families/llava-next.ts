import type { Family } from "./family.js";
import { llavaConfig } from "./llava.js";

/** LLaVA-1.6 (Liu et al. 2024): LLaVA-1.5 over tiles of the frame, with a learned vector behind each line of tokens. */
export const llavaNext: Family = {
  modelTypes: ["llava_next"],
  config: llavaConfig("llava_next", { newline: true }),
};
