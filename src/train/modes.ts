/**
 * The two modes of a PPO run: `fixed`, this project's rules, and `paper`, those of the reference implementation of Zhai et al.
 * 2024 (arXiv 2405.10292). A mode only sets defaults: every difference is a setting, and docs/paper-mode.md lists them all.
 */
import { z } from "zod";
import type { PpoQuirks } from "../algorithms/quirks.js";
import { isPlainObject, type PlainObject } from "./plain-object.js";
import type { EnvironmentQuirks } from "./tasks.js";

export type Mode = "fixed" | "paper";

/** Everything that paper mode brings back and that no other setting can say. */
export type Quirks = PpoQuirks & EnvironmentQuirks;

const quirk = z.boolean().default(false);
const count = z.int().min(1);

export const quirks = z.strictObject({
  stalePrompt: quirk.describe(
    "Builds the first prompt of an episode from the last state of the episode before; the image is new.",
  ),
  initialPrompt: quirk.describe(
    "Scores updates, and the value after the last step, under the run's first prompt text.",
  ),
  lastFiveTokens: quirk.describe("Takes the last five tokens of a response for its action part."),
  dropFirstToken: quirk.describe("Leaves a response's first token out of the log-probability."),
  insertBeginToken: quirk.describe(
    "Scores responses after a begin token that sampling did not have; old log-probs come from such a scoring, too.",
  ),
  bfloat16LogProbs: quirk.describe("Rounds log-probabilities and their sums to bfloat16."),
  terminalTimeouts: quirk.describe("Takes the value of a state in which an episode is cut off to be zero."),
  learningRateCycle: z
    .strictObject({
      halfPeriod: count.default(25).describe("Steps of the schedule from the first rate to the last."),
      stepsPerUpdate: count
        .default(1)
        .describe("Steps of the schedule per update: in the reference, the number of GPUs."),
    })
    .nullable()
    .default(null)
    .describe("A learning rate that falls and rises as a cosine; null: falls over the run."),
  paperReset: quirk.describe("NumberLine as before June 2024: an episode may start at its target."),
  referenceEval: quirk.describe("EZPoints, Points24: evaluates formulas as Python does."),
  hiddenFifthCard: quirk.describe("Blackjack: draws the player's fifth card outside the frame."),
});

/** Quirks that not every task has: a prompt that never changes cannot be stale, and rules belong to one game. */
const taskQuirks = [
  "stalePrompt",
  "initialPrompt",
  "paperReset",
  "referenceEval",
  "hiddenFifthCard",
] as const satisfies readonly (keyof Quirks)[];

type TaskQuirk = (typeof taskQuirks)[number];

const promptQuirks: readonly TaskQuirk[] = ["stalePrompt", "initialPrompt"];

const quirksOfTasks: Readonly<Record<string, readonly TaskQuirk[]>> = {
  "number-line": ["paperReset"],
  blackjack: ["hiddenFifthCard"],
  "ez-points": [...promptQuirks, "referenceEval"],
  points24: [...promptQuirks, "referenceEval"],
};

/** The task quirks that have an effect on a task. Of a task of one's own, these are the ones of its prompts. */
function quirksOf(task: unknown): readonly TaskQuirk[] {
  return typeof task === "string" && Object.hasOwn(quirksOfTasks, task) ? quirksOfTasks[task]! : promptQuirks;
}

/** The task quirks that are on but have no effect on the task. */
export function idleQuirks(task: string, settings: Pick<Quirks, TaskQuirk>): TaskQuirk[] {
  return taskQuirks.filter((name) => settings[name] && !quirksOf(task).includes(name));
}

/**
 * A configuration with the defaults of its mode, where it states one, below what it says itself. What is not a configuration
 * at all comes back as it is, for validation to refuse.
 */
export function withModeDefaults(input: unknown): unknown {
  if (!isPlainObject(input) || input.algorithm !== "ppo" || input.mode !== "paper") return input;
  const clipRange = isPlainObject(input.ppo) ? input.ppo.clipRange : undefined;
  const lora = isPlainObject(input.model) && isPlainObject(input.model.lora) ? input.model.lora : undefined;
  const drops = lora !== undefined && lora.dropout !== 0;
  return withDefaults(input, {
    model: { frozen: ["vision"], ...(lora && { lora: { dropout: 0.05 } }) },
    ppo: {
      // Its gradient is that of the reference's rule for ratios above 10.
      dualClip: 10,
      valueClipRange: clipRange ?? 0.1,
      advantageStdFloor: 0,
      advantageEpsilon: 1e-5,
      maxGradientNorm: null,
      valueMaxGradientNorm: null,
      adamEpsilon: 1e-7,
      warmupSteps: 0,
      topK: 50,
      // Sampling, scoring before the update and scoring in it each drop something else.
      ...(drops && { maxLogProbMismatch: null }),
      successWindow: 200,
    },
    quirks: {
      lastFiveTokens: true,
      dropFirstToken: true,
      insertBeginToken: true,
      bfloat16LogProbs: true,
      terminalTimeouts: true,
      learningRateCycle: {},
      ...Object.fromEntries(quirksOf(input.task).map((name) => [name, true])),
    },
  });
}

function withDefaults(input: PlainObject, defaults: PlainObject): PlainObject {
  const filled: Record<string, unknown> = { ...input };
  for (const [key, value] of Object.entries(defaults)) {
    const own = input[key];
    if (own === undefined) filled[key] = value;
    else if (isPlainObject(own) && isPlainObject(value)) filled[key] = withDefaults(own, value);
  }
  return filled;
}
