import { describe, expect, test } from "vitest";
import {
  bfloat16LogProb,
  lastFiveTokens,
  shifted,
  withoutFirstToken,
} from "../../src/rl/reference-log-prob.js";
import { responseParts, tokenWeights } from "../../src/rl/thought-weights.js";

/** The reference's own slices of its (T) log-probs after the begin token, with its index arithmetic. */
function referenceWeights(tokenCount: number, lambda: number): number[] {
  const padded = 20;
  const weights = new Array<number>(padded).fill(0);
  if (tokenCount < 4) return weights.slice(0, tokenCount);
  const match = tokenCount - 4;
  // What Python's [a:b] selects of `padded` items.
  const slice = (a: number, b: number) => {
    const at = (index: number) => (index < 0 ? padded + index : index);
    return weights.map((_, j) => j).slice(at(a), Math.max(at(a), at(b)));
  };
  for (const j of slice(1, match - 1)) weights[j] = lambda;
  for (const j of slice(match - 1, padded)) weights[j] = 1;
  return weights.slice(0, tokenCount);
}

describe("the reference's cut", () => {
  test.each([0, 1, 3, 4, 5, 6, 7, 12])("weighs %d tokens as its index arithmetic does", (tokenCount) => {
    const parts = withoutFirstToken(lastFiveTokens(tokenCount));
    expect([...tokenWeights(tokenCount, parts, 0.5)]).toEqual(referenceWeights(tokenCount, 0.5));
  });

  test("makes the last five tokens the action part, whatever they say", () => {
    const parts = lastFiveTokens(9);
    expect(parts).toEqual({ thought: { start: 0, end: 4 }, action: { start: 4, end: 9 } });
    // Under Mistral's tokenizer `"10"` ends in `1`, `0`, `"`, newline, `}`, end: the digit 1 counts as thought.
    const tokens = ['"', "action", '":', ' "', "1", "0", '"', "\n", "}", "</s>"];
    expect(tokens.slice(lastFiveTokens(tokens.length).action.start)[0]).toBe("0");
  });

  test("leaves responses of fewer than four tokens without any part", () => {
    expect([...tokenWeights(3, lastFiveTokens(3), 0.5)]).toEqual([0, 0, 0]);
  });
});

describe("withoutFirstToken", () => {
  test("takes the token from the thought part alone", () => {
    expect([...tokenWeights(4, withoutFirstToken(responseParts(4, 2)), 0.5)]).toEqual([0, 0.5, 1, 1]);
    expect([...tokenWeights(2, withoutFirstToken(responseParts(2, 0)), 0.5)]).toEqual([1, 1]);
    expect([...tokenWeights(1, withoutFirstToken(responseParts(1, 1)), 0.5)]).toEqual([0]);
  });
});

describe("shifted", () => {
  test("keeps both parts on their tokens", () => {
    expect([...tokenWeights(4, shifted(responseParts(3, 2), 1), 0.5)]).toEqual([0, 0.5, 0.5, 1]);
  });
});

describe("bfloat16LogProb", () => {
  const parts = responseParts(3, 2);

  test("rounds every token, both sums, the weighted sum and the total", () => {
    // b(-1.003) = -1, b(-2.005) = -2, b(-0.1003) = -0.10009765625; b(-1.5 - 0.10009765625) = -1.6015625
    expect(bfloat16LogProb([-1.003, -2.005, -0.1003], parts, 0.5)).toBe(-1.6015625);
    // b(-0.6): numbers between 0.5 and 1 are 2^-8 apart.
    expect(bfloat16LogProb([-1, -2, 0], parts, 0.2)).toBe(-0.6015625);
  });

  test("moves by 13 % of the ratio at a time where thoughts are long", () => {
    const at = (thought: number) => bfloat16LogProb([thought, 0, 0], responseParts(3, 2), 0.5);
    const values = new Set(Array.from({ length: 100 }, (_, i) => at(-37.6 - i / 100)));
    const steps = [...values]
      .sort((a, b) => b - a)
      .map((value, i, all) => (i === 0 ? 0 : all[i - 1]! - value));
    expect(new Set(steps.slice(1))).toEqual(new Set([0.125]));
    expect(Math.exp(0.125) - 1).toBeCloseTo(0.13, 2);
  });

  test("leaves out what belongs to neither part", () => {
    const first = { thought: { start: 1, end: 2 }, action: { start: 2, end: 3 } };
    expect(bfloat16LogProb([-9, -1, -2], first, 0.5)).toBe(-2.5);
  });
});
