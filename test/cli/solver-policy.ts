import type { Frame } from "../../envs/env.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { ArrowPolicy, type Oracle } from "../train/fakes.js";

/** What NumberLine shows, and the action that is right then. */
const rightActions = new Map<string, number>();

function lookOf({ data }: Frame): string {
  return Buffer.from(data).toString("latin1");
}

function rightAction(frame: Frame): number {
  if (rightActions.size === 0) {
    const environment = new NumberLine();
    for (let target = 0; target <= 5; target++) {
      for (let current = 0; current <= 5; current++) {
        if (target === current) continue;
        const { frame: shown } = environment.resetTo({ target, current });
        rightActions.set(lookOf(shown), target > current ? 1 : 0);
      }
    }
  }
  // After the last move, when the target is reached, nothing is right.
  return rightActions.get(lookOf(frame)) ?? 0;
}

const numberLineOracle: Oracle = { labels: ["-", "+"], rightAction };

/** Plays NumberLine; at first like a coin. */
export class SolverPolicy extends ArrowPolicy {
  constructor() {
    super(numberLineOracle);
  }
}
