import { describe, expect, test } from "vitest";
import { actionStart, responseParts, tokenWeights, weightedLogProb } from "../../src/rl/thought-weights.js";

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

describe("responseParts", () => {
  test("cuts a response in two where its action begins", () => {
    expect(responseParts(5, 3)).toEqual({ thought: { start: 0, end: 3 }, action: { start: 3, end: 5 } });
    expect(responseParts(2, 0)).toEqual({ thought: { start: 0, end: 0 }, action: { start: 0, end: 2 } });
  });

  test("counts a response without an action part as thought", () => {
    expect(responseParts(3, undefined)).toEqual({
      thought: { start: 0, end: 3 },
      action: { start: 3, end: 3 },
    });
  });

  test.each([-1, 3, 0.5])("refuses an action part that starts at token %d of 2", (token) => {
    expect(() => responseParts(2, token)).toThrow(/^firstActionToken: expected an integer in \[0, 2\]/);
  });
});

describe("tokenWeights", () => {
  test("weighs thought tokens λ, action tokens 1, and all others 0", () => {
    expect([...tokenWeights(5, responseParts(5, 3), 0.5)]).toEqual([0.5, 0.5, 0.5, 1, 1]);
    const parts = { thought: { start: 1, end: 2 }, action: { start: 3, end: 4 } };
    expect([...tokenWeights(5, parts, 0.2)]).toEqual([0, 0.2, 0, 1, 0]);
  });

  test.each([-0.1, Number.NaN, Number.POSITIVE_INFINITY])("refuses λ = %d", (lambda) => {
    expect(() => tokenWeights(2, responseParts(2, 1), lambda)).toThrow(
      /^lambda: expected a finite number >= 0/,
    );
  });
});

describe("weightedLogProb", () => {
  test("sums in double precision", () => {
    const logProbs = Float32Array.of(-0.1, -0.2, -4);
    const expected = 0.5 * Math.fround(-0.1) + 0.5 * Math.fround(-0.2) - 4;
    expect(weightedLogProb(logProbs, tokenWeights(3, responseParts(3, 2), 0.5))).toBe(expected);
  });

  test("refuses weights of another length", () => {
    expect(() => weightedLogProb([-1, -2], Float64Array.of(1))).toThrow(RangeError);
  });
});
