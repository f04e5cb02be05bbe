/** An environment and a policy small enough that whole runs take milliseconds. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment, EpisodeOutcome, Frame, ResetResult, StepResult } from "../../envs/env.js";
import type {
  ForwardOptions,
  ForwardResult,
  LoadSource,
  StepResult as OptimizerResult,
  OptimizerStep,
  OutputGradient,
  Prompt,
  SaveTarget,
  Sequence,
} from "../../src/native/types.js";
import type { RespondOptions, Response } from "../../src/policy/policy.js";
import { deriveKey, Random } from "../../src/random.js";
import type { CheckpointedPolicy } from "../../src/train/checkpoint-store.js";
import { type PpoRunConfig, parseConfig } from "../../src/train/config.js";
import type { Task } from "../../src/train/tasks.js";

const LABELS = ["left", "right"] as const;
const EPISODE_STEPS = 2;

export interface ArrowInfo {
  /** The action that earns 1; the other earns -1. */
  readonly arrow: number;
  readonly steps: number;
}

/** Shows an arrow twice, as the colour of one pixel; solved when it was followed both times. */
export class Arrow implements Environment<ArrowInfo> {
  readonly id = "test/arrow-v1";
  readonly actionSpace = { labels: LABELS };
  #random = new Random(deriveKey(0));
  #info: ArrowInfo = { arrow: 0, steps: EPISODE_STEPS };

  reset(seed: number): ResetResult<ArrowInfo> {
    this.#random = new Random(deriveKey(seed));
    return this.#show(0);
  }

  async step(action: number): Promise<StepResult<ArrowInfo>> {
    const { arrow, steps } = this.#info;
    const reward = action === arrow ? 1 : -1;
    const shown = this.#show(steps + 1);
    return { ...shown, reward, terminated: steps + 1 === EPISODE_STEPS, truncated: false };
  }

  prompt(info: ArrowInfo): string {
    return `Follow the arrow <${info.steps}> & "answer".`;
  }

  parseAction(response: string): number | undefined {
    const action = LABELS.findIndex((label) => response.includes(`"action": "${label}"`));
    return action < 0 ? undefined : action;
  }

  isSuccess(outcome: EpisodeOutcome<ArrowInfo>): boolean {
    return outcome.return > 0;
  }

  optimalActions({ arrow }: ArrowInfo): readonly number[] {
    return [arrow];
  }

  #show(steps: number): ResetResult<ArrowInfo> {
    this.#info = { arrow: this.#random.integer(2), steps };
    const frame: Frame = { width: 1, height: 1, data: Uint8Array.of(this.#info.arrow * 255, 0, 0) };
    return { frame, info: this.#info };
  }
}

/** Token 1 takes the right action, token 0 the other one. */
const RIGHT = 1;

/** Knows which of two actions is right by looking. */
export interface Oracle {
  readonly labels: readonly [string, string];
  readonly rightAction: (frame: Frame) => number;
}

const arrowOracle: Oracle = { labels: LABELS, rightAction: ({ data }) => (data[0] === 255 ? 1 : 0) };

/**
 * Takes the right action with probability sigmoid(w / temperature), w being its only weight; gradient descent
 * with momentum, so that a resumed run needs the optimizer's state too.
 */
export class ArrowPolicy implements CheckpointedPolicy {
  weight = 0;
  isDisposed = false;
  /** Called before each answer. */
  onRespond: () => void = () => {};
  readonly #oracle: Oracle;
  #momentum = 0;
  #gradient = 0;

  constructor(oracle = arrowOracle) {
    this.#oracle = oracle;
  }

  encode(frame: Frame, _prompt: string): Prompt {
    return { tokens: Int32Array.of(this.#oracle.rightAction(frame)), images: [] };
  }

  async respond(prompt: Prompt, options: RespondOptions, signal?: AbortSignal): Promise<Response> {
    this.onRespond();
    signal?.throwIfAborted();
    const { temperature } = options.sampling;
    const right = this.#logProb(RIGHT, temperature === 0 ? 1 : temperature);
    const token =
      temperature === 0
        ? Number(this.weight >= 0)
        : Number(new Random(options.randomKey).uniform() < Math.exp(right));
    const rightAction = prompt.tokens[0]!;
    const action = token === RIGHT ? rightAction : 1 - rightAction;
    return {
      tokens: Int32Array.of(token),
      text: `{"thoughts": "<script>", "action": "${this.#oracle.labels[action]}"}`,
      logProbs: Float32Array.of(this.#logProb(token, temperature === 0 ? 1 : temperature)),
      value: 0,
      finishReason: "end",
    };
  }

  encodeResponse(text: string): Int32Array {
    return Int32Array.of(text.includes("wrong") ? 0 : RIGHT);
  }

  tokenAtCharacter(): number {
    return 0;
  }

  async score(
    sequences: readonly Sequence[],
    { temperature = 1 }: ForwardOptions = {},
  ): Promise<ForwardResult> {
    const tokens = sequences.map(({ response }) => response[0]!);
    this.#slopes = tokens.map((token) => {
      const probability = Math.exp(this.#logProb(token, temperature));
      return ((token === RIGHT ? 1 : -1) * (1 - probability)) / temperature;
    });
    return {
      logProbs: Float32Array.from(tokens, (token) => this.#logProb(token, temperature)),
      offsets: Int32Array.from({ length: tokens.length + 1 }, (_, index) => index),
      values: new Float32Array(tokens.length),
      tape: 0,
    };
  }

  async backward(_scores: ForwardResult, { logProbs }: OutputGradient): Promise<void> {
    logProbs.forEach((gradient, index) => {
      this.#gradient += gradient * this.#slopes[index]!;
    });
  }

  async step({ groups }: OptimizerStep): Promise<OptimizerResult> {
    this.#momentum = 0.5 * this.#momentum + this.#gradient;
    this.weight -= groups[0]!.learningRate * this.#momentum;
    const gradientNorms = groups.map((_, index) => (index === 0 ? Math.abs(this.#gradient) : 0));
    this.#gradient = 0;
    return { gradientNorms };
  }

  async save({ model, optimizer }: SaveTarget): Promise<void> {
    await writeFile(model as string, JSON.stringify(this.weight));
    if (optimizer !== undefined) await writeFile(optimizer, JSON.stringify(this.#momentum));
  }

  async load({ model, optimizer }: LoadSource): Promise<void> {
    this.weight = JSON.parse(await readFile(model as string, "utf8")) as number;
    if (optimizer !== undefined) this.#momentum = JSON.parse(await readFile(optimizer, "utf8")) as number;
  }

  async saveCheckpoint(folder: string, { optimizer }: { optimizer: boolean }): Promise<void> {
    await mkdir(folder, { recursive: true });
    const state = join(folder, "optimizer.json");
    await this.save({ model: join(folder, "model.json"), ...(optimizer && { optimizer: state }) });
  }

  async loadCheckpoint(folder: string): Promise<void> {
    await this.load({ model: join(folder, "model.json"), optimizer: join(folder, "optimizer.json") });
  }

  dispose(): void {
    this.isDisposed = true;
  }

  /** d log-prob / d weight of what was scored last. */
  #slopes: number[] = [];

  #logProb(token: number, temperature: number): number {
    const logit = (token === RIGHT ? this.weight : -this.weight) / temperature;
    return Math.fround(-Math.log1p(Math.exp(-logit)));
  }
}

export const arrowTask: Task<ArrowInfo> = {
  name: "arrow",
  makeEnvironment: () => new Arrow(),
  makeExpert: () => ({
    respond: (_info, uniform, errorRate) => (uniform() < errorRate ? "wrong" : "right"),
  }),
};

/** PPO that takes the policy from chance to mastery in a few updates. */
export function arrowConfig(changes: Partial<PpoRunConfig> = {}): PpoRunConfig {
  const config = parseConfig({
    algorithm: "ppo",
    task: "arrow",
    model: { checkpoint: "none" },
    environments: 4,
    ppo: {
      updates: 16,
      stepsPerEnvironment: 16,
      minibatchSize: 16,
      learningRate: 1,
      finalLearningRate: 0.1,
      temperature: 1,
    },
    stop: { successRate: 0.95, minimumEpisodes: 8 },
    evaluation: { episodes: 40, transcripts: 2, selectionEpisodes: 40 },
  }) as PpoRunConfig;
  return { ...config, ...changes };
}
