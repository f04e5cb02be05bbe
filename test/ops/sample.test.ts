import { describe, expect, test } from "vitest";
import { deriveKey } from "../../src/random.js";
import { type Backend, backends } from "./native-ops.js";

interface Settings {
  temperature?: number;
  topK?: number;
  topP?: number;
}

/** Tokens drawn from the same logits under `draws` different keys. */
function tokensOf(backend: Backend, logits: number[], draws: number, settings: Settings): Int32Array {
  const tokens = new Int32Array(draws).fill(-1);
  backend.run("sample", {
    logits: Float32Array.from({ length: draws * logits.length }, (_, i) => logits[i % logits.length]!),
    temperatures: new Float32Array(draws).fill(settings.temperature ?? 1),
    top_k: new Int32Array(draws).fill(settings.topK ?? 0),
    top_p: new Float32Array(draws).fill(settings.topP ?? 1),
    keys: Uint32Array.from({ length: 2 * draws }, (_, i) => deriveKey(7, i >> 1)[i & 1]!),
    steps: new Int32Array(draws),
    tokens,
    log_probs: new Float32Array(draws),
    rows: draws,
    vocabulary: logits.length,
  });
  return tokens;
}

const draws = 20_000;

/** Fails where a token is not drawn as often as it is likely, give or take five standard deviations. */
function expectFrequencies(tokens: Int32Array, probabilities: number[]): void {
  const counts = probabilities.map(() => 0);
  for (const token of tokens) counts[token]! += 1;
  probabilities.forEach((p, id) => {
    const deviations = Math.abs(counts[id]! - p * draws) / Math.sqrt(Math.max(p * (1 - p) * draws, 1e-9));
    expect(deviations, `token ${id}, drawn ${counts[id]} times with probability ${p}`).toBeLessThan(5);
  });
}

describe.each(backends.map((backend) => [backend.name, backend] as const))(
  "sample on %s",
  (_name, backend) => {
    const probabilities = [0.4, 0.05, 0.3, 0.15, 0.1];
    const logits = probabilities.map(Math.log);

    test("draws every token as often as it is likely", () => {
      expectFrequencies(tokensOf(backend, logits, draws, {}), probabilities);
    });

    test("sharpens the distribution at a low temperature", () => {
      const squares = probabilities.map((p) => p * p);
      const total = squares.reduce((sum, p) => sum + p);
      const sharpened = squares.map((p) => p / total);
      expectFrequencies(tokensOf(backend, logits, draws, { temperature: 0.5 }), sharpened);
    });

    test("draws from the top_k most likely tokens in proportion", () => {
      expectFrequencies(tokensOf(backend, logits, draws, { topK: 2 }), [4 / 7, 0, 3 / 7, 0, 0]);
    });

    test("draws from the smallest set that reaches top_p in proportion", () => {
      expectFrequencies(tokensOf(backend, logits, draws, { topP: 0.75 }), [
        0.4 / 0.85,
        0,
        0.3 / 0.85,
        0.15 / 0.85,
        0,
      ]);
    });

    test("applies top_p to what top_k leaves, renormalised", () => {
      // Of the three tokens left, 0.4 / 0.85 = 0.47 does not reach 0.5; the first two reach 0.82.
      expectFrequencies(tokensOf(backend, logits, draws, { topK: 3, topP: 0.5 }), [4 / 7, 0, 3 / 7, 0, 0]);
    });

    test("takes the lower id of equally likely tokens", () => {
      const tied = [0, 2, 1, 2, 2, -1];
      expect(new Set(tokensOf(backend, tied, 10, { temperature: 0 }))).toEqual(new Set([1]));
      expect(new Set(tokensOf(backend, tied, 200, { topK: 2 }))).toEqual(new Set([1, 3]));
      expect(new Set(tokensOf(backend, tied, 200, { topP: 0.5 }))).toEqual(new Set([1, 3]));
      expect(new Set(tokensOf(backend, [-0, 0, -1], 200, { topK: 1 }))).toEqual(new Set([0]));
    });

    test("returns a token of the vocabulary even for logits that are not numbers", () => {
      const token = tokensOf(backend, [Number.NaN, Number.NaN, 1], 1, { topP: 0.9 })[0]!;
      expect([0, 1, 2]).toContain(token);
    });
  },
);
