import type { PromptQuirks } from "../rollout/environment-loop.js";
import type { ScoringQuirks } from "./scoring.js";

/** A learning rate that falls and rises as a cosine, whatever the number of updates. */
export interface LearningRateCycle {
  /** Steps of the schedule from the first rate to the last one, >= 1. */
  readonly halfPeriod: number;
  /** Steps of the schedule per update, >= 1; the reference takes one for every GPU. */
  readonly stepsPerUpdate: number;
}

/**
 * What the reference implementation of Zhai et al. 2024 (arXiv 2405.10292) does otherwise than this one, beyond what a
 * `PpoConfig` can say. docs/paper-mode.md has each with its effect.
 */
export interface PpoQuirks extends PromptQuirks, ScoringQuirks {
  /** Truncation counts as termination: the value of the state in which an episode is cut off is taken to be zero. */
  readonly terminalTimeouts: boolean;
  /** Null: half a cosine over the run. */
  readonly learningRateCycle: LearningRateCycle | null;
}

export const noQuirks: PpoQuirks = {
  stalePrompt: false,
  initialPrompt: false,
  lastFiveTokens: false,
  dropFirstToken: false,
  insertBeginToken: false,
  bfloat16LogProbs: false,
  terminalTimeouts: false,
  learningRateCycle: null,
};
