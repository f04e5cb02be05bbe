import { describe, expect, test } from "vitest";
import { actionStart, tokenWeights, weightedLogProb } from "../../src/rl/thought-weights.js";

describe("actionStart", () => {
  test("points at the quote that opens the key", () => {
    const text = '{"thoughts": "add one", "action": "+"}';
    expect(text.slice(actionStart(text))).toBe('"action": "+"}');
  });

  test("takes the last key when a thought quotes the format", () => {
    const text = '{"thoughts": "I must write "action": "x"", "action": "-"}';
    expect(text.slice(actionStart(text))).toBe('"action": "-"}');
  });

  test("tolerates whitespace before the colon", () => {
    expect(actionStart('{"action" \n: "+"}')).toBe(1);
  });

  test("is undefined without such a key", () => {
    for (const text of ["", "action: +", '{"thoughts": "the action is +"}', '{"action"', '{"Action": "+"}']) {
      expect(actionStart(text)).toBeUndefined();
    }
  });
});

describe("tokenWeights", () => {
  test("weighs thought tokens λ and action tokens 1", () => {
    expect([...tokenWeights(5, 3, 0.5)]).toEqual([0.5, 0.5, 0.5, 1, 1]);
    expect([...tokenWeights(2, 0, 0.5)]).toEqual([1, 1]);
    expect([...tokenWeights(2, 2, 0.5)]).toEqual([0.5, 0.5]);
  });

  test("counts a response without an action part as thought", () => {
    expect([...tokenWeights(3, undefined, 0.2)]).toEqual([0.2, 0.2, 0.2]);
  });

  test.each([-0.1, Number.NaN, Number.POSITIVE_INFINITY])("refuses λ = %d", (lambda) => {
    expect(() => tokenWeights(2, 1, lambda)).toThrow(/^lambda: expected a finite number >= 0/);
  });

  test.each([-1, 3, 0.5])("refuses an action part that starts at token %d of 2", (token) => {
    expect(() => tokenWeights(2, token, 1)).toThrow(/^firstActionToken: expected an integer in \[0, 2\]/);
  });
});

describe("weightedLogProb", () => {
  test("sums in double precision", () => {
    const logProbs = Float32Array.of(-0.1, -0.2, -4);
    const expected = 0.5 * Math.fround(-0.1) + 0.5 * Math.fround(-0.2) - 4;
    expect(weightedLogProb(logProbs, tokenWeights(3, 2, 0.5))).toBe(expected);
  });

  test("refuses weights of another length", () => {
    expect(() => weightedLogProb([-1, -2], Float64Array.of(1))).toThrow(RangeError);
  });
});
