import type {
  ActionSpace,
  Environment,
  EpisodeOutcome,
  Expert,
  ResetResult,
  StepResult,
} from "../../envs/env.js";
import { deriveKey, Random } from "../../src/random.js";

export const POSITIONS = 4;
const HORIZON = 6;

export interface LineInfo {
  readonly target: number;
  readonly current: number;
}

/**
 * A line of four positions: "+" and "-" move by one, reward 1 and the end at the target, 0 for a step closer, -1
 * for any other; truncated after six steps. The only pixel of the frame shows target and position.
 */
export class LineWorld implements Environment<LineInfo> {
  readonly id = "fakes/line-world-v1";
  readonly actionSpace: ActionSpace = { labels: ["-", "+"] };
  #target = 0;
  #current = 0;
  #steps = 0;

  reset(seed: number): ResetResult<LineInfo> | Promise<ResetResult<LineInfo>> {
    const random = new Random(deriveKey(seed));
    this.#target = random.integer(POSITIONS);
    this.#current = (this.#target + 1 + random.integer(POSITIONS - 1)) % POSITIONS;
    this.#steps = 0;
    return this.#observation();
  }

  step(action: number): StepResult<LineInfo> | Promise<StepResult<LineInfo>> {
    const before = Math.abs(this.#target - this.#current);
    this.#current = Math.min(Math.max(this.#current + (action === 1 ? 1 : -1), 0), POSITIONS - 1);
    this.#steps += 1;
    const distance = Math.abs(this.#target - this.#current);
    const terminated = distance === 0;
    const reward = terminated ? 1 : distance < before ? 0 : -1;
    return { ...this.#observation(), reward, terminated, truncated: !terminated && this.#steps === HORIZON };
  }

  prompt(_info: LineInfo): string {
    return "Reach the target.";
  }

  parseAction(response: string): number | undefined {
    const label = /"action": "([-+])"/.exec(response)?.[1];
    return label === undefined ? undefined : this.actionSpace.labels.indexOf(label);
  }

  isSuccess(outcome: EpisodeOutcome<LineInfo>): boolean {
    return outcome.return > 0;
  }

  optimalActions({ target, current }: LineInfo): readonly number[] {
    return [target > current ? 1 : 0];
  }

  #observation(): ResetResult<LineInfo> {
    const info = { target: this.#target, current: this.#current };
    return { frame: { width: 1, height: 1, data: Uint8Array.of(info.target, info.current, 0) }, info };
  }
}

/** A line world whose calls take a varying number of turns of the event loop. */
export class SlowLineWorld extends LineWorld {
  readonly #random: Random;

  constructor(seed: number) {
    super();
    this.#random = new Random(deriveKey(seed));
  }

  override async reset(seed: number): Promise<ResetResult<LineInfo>> {
    await pause(this.#random.integer(5));
    return super.reset(seed);
  }

  override async step(action: number): Promise<StepResult<LineInfo>> {
    await pause(this.#random.integer(5));
    return super.step(action);
  }
}

export const lineExpert: Expert<LineInfo> = {
  respond({ target, current }, uniform, errorRate) {
    const isUp = target > current !== uniform() < errorRate;
    return `{"thoughts": "${isUp ? "up" : "down"}", "action": "${isUp ? "+" : "-"}"}`;
  },
};

/** Lets `turns` turns of the event loop pass. */
export async function pause(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}
