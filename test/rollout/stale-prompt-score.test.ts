import { describe, expect, test } from "vitest";
import type { Frame, StepResult } from "../../envs/env.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import type { FormulaInfo } from "../../envs/gym-cards/formula-game.js";
import type { Prompt } from "../../src/native/types.js";
import type { Response } from "../../src/policy/policy.js";
import { Collector } from "../../src/rollout/collector.js";
import type { RespondingPolicy } from "../../src/rollout/environment-loop.js";

/** EZPoints whose frame is the hand: a pixel for the value of each card. */
class OpenHand extends EZPoints {
  override reset(seed: number) {
    const { info } = super.reset(seed);
    return { frame: handFrame(info), info };
  }

  override step(action: number): StepResult<FormulaInfo> {
    const result = super.step(action);
    return { ...result, frame: handFrame(result.info) };
  }
}

function handFrame({ numbers }: FormulaInfo): Frame {
  return { width: 2, height: 1, data: Uint8Array.from(numbers.flatMap((value) => [value, 0, 0])) };
}

/** Solves every hand that it sees, and takes the prompt's word for the formula so far. */
const solver: RespondingPolicy = {
  encode({ data }: Frame, prompt: string): Prompt {
    const formula = /current formula: (.*?)\. You can/.exec(prompt)![1]!;
    const [a, b] = [data[0]!, data[3]!];
    const solution = [String(a), a + b === 12 ? "+" : "*", String(b), "="];
    // A formula of the prompt that makes 12 is complete, whatever the cards.
    const [first, operator, second] = formula.split(/([+*])/);
    const made = operator === "+" ? Number(first) + Number(second) : Number(first) * Number(second);
    const next = made === 12 ? "=" : solution.find((_, t) => solution.slice(0, t).join("") === formula);
    return { tokens: Int32Array.from(next!, (character) => character.charCodeAt(0)), images: [] };
  },
  async respond({ tokens }: Prompt): Promise<Response> {
    const text = `{"action": "${String.fromCharCode(...tokens)}"}`;
    return { tokens, text, logProbs: new Float32Array(tokens.length), value: 0, finishReason: "end" };
  },
};

async function score(stalePrompt: boolean, steps: number) {
  const environments = Array.from({ length: 10 }, () => new OpenHand());
  const promptQuirks = { stalePrompt, initialPrompt: false };
  const options = { environments, policy: solver, seed: 1, sampling: { temperature: 1 }, maxNewTokens: 4 };
  const { episodes } = await new Collector({ ...options, promptQuirks }).collect(steps);
  const mean = (of: (episode: (typeof episodes)[number]) => number) =>
    episodes.reduce((sum, episode) => sum + of(episode), 0) / episodes.length;
  return {
    episodes: episodes.length,
    success: mean(({ success }) => Number(success)),
    return: mean((episode) => episode.return),
    length: mean((episode) => episode.steps),
  };
}

describe("perfect play of EZPoints by a policy that trusts the prompt's formula", () => {
  test("has 100 % success and a return of 10", async () => {
    expect(await score(false, 100)).toEqual({ episodes: 250, success: 1, return: 10, length: 4 });
  });

  test("has 50 % success and a return of 4.50 under stale prompts, as the paper's run has", async () => {
    expect(await score(true, 250)).toEqual({ episodes: 1000, success: 0.5, return: 4.5, length: 2.5 });
  });
});
