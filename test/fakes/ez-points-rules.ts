import type { Environment, EpisodeOutcome, ResetResult, StepResult } from "../../envs/env.js";
import { deriveKey, Random } from "../../src/random.js";

export interface Hand {
  readonly numbers: readonly [number, number];
  readonly formula: readonly string[];
  readonly steps: number;
}

const LABELS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "+", "*", "="];

/**
 * The rules of EZPoints in gym_cards without its pictures: the frame is two pixels that hold the values of the cards. Build a
 * formula of both that makes 12.
 */
export class EzPointsRules implements Environment<Hand> {
  readonly id = "fakes/ez-points-rules-v1";
  readonly actionSpace = { labels: LABELS };
  #hand: Hand = { numbers: [2, 10], formula: [], steps: 0 };

  reset(seed: number): ResetResult<Hand> {
    const random = new Random(deriveKey(seed));
    const first = Math.min(2 + random.integer(12), 10);
    const isProduct = [2, 3, 4, 6].includes(first) && random.integer(2) === 0;
    const numbers: [number, number] = [first, isProduct ? 12 / first : 12 - first];
    if (random.integer(2) === 0) numbers.reverse();
    this.#hand = { numbers, formula: [], steps: 0 };
    return this.#observation();
  }

  step(action: number): StepResult<Hand> {
    const { numbers, formula, steps } = this.#hand;
    const token = LABELS[action]!;
    const end = (reward: number, terminated: boolean) => {
      this.#hand = { numbers, formula, steps: steps + 1 };
      return { ...this.#observation(), reward, terminated, truncated: !terminated };
    };
    if (formula.length > 5) return end(-1, false);
    if (token === "=") return end(this.#isSolved() ? 10 : -1, true);
    const isSpent = /\d/.test(token) && count(formula, token) >= count(numbers.map(String), token);
    this.#hand = { numbers, formula: [...formula, isSpent ? " " : token], steps: steps + 1 };
    return { ...this.#observation(), reward: isSpent ? -1 : 0, terminated: false, truncated: false };
  }

  prompt({ formula }: Hand): string {
    return `You are observing the current formula: ${formula.join("")}.`;
  }

  parseAction(response: string): number | undefined {
    const action = LABELS.indexOf(/"action": "(.*)"/.exec(response)?.[1] ?? "");
    return action < 0 ? undefined : action;
  }

  isSuccess(outcome: EpisodeOutcome<Hand>): boolean {
    return outcome.return > 0;
  }

  #isSolved(): boolean {
    const [first, operator, second, ...more] = this.#hand.formula;
    if (more.length > 0 || second === undefined) return false;
    const [a, b] = [Number(first), Number(second)];
    return operator === "+" ? a + b === 12 : operator === "*" && a * b === 12;
  }

  #observation(): ResetResult<Hand> {
    const { numbers } = this.#hand;
    const data = Uint8Array.of(...numbers.flatMap((value) => [value, 0, 0]));
    return { frame: { width: 2, height: 1, data }, info: this.#hand };
  }
}

function count(tokens: readonly string[], token: string): number {
  return tokens.filter((other) => other === token).length;
}
