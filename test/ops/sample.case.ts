import { philox } from "../../src/random.js";
import { type Conformance, conformance, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, integers, normals, unwritten } from "./inputs.js";

type Args = {
  logits: Floats;
  temperatures: Floats;
  top_k: Int32Array;
  top_p: Floats;
  keys: Uint32Array;
  steps: Int32Array;
  tokens: Int32Array;
  log_probs: Floats;
  rows: number;
  vocabulary: number;
};

/** The ids that top-k and top-p leave, most likely first. */
function keptIds(logits: Floats, probabilities: Float64Array, topK: number, topP: number): number[] {
  const ids = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const first = topK > 0 ? ids.slice(0, topK) : ids;
  const enough = topP * first.reduce((sum, id) => sum + probabilities[id]!, 0);
  let held = 0;
  let count = 0;
  while (count < first.length && (count === 0 || held < enough)) held += probabilities[first[count++]!]!;
  return first.slice(0, count);
}

/** The id in whose stretch of the cumulative distribution over the kept ids, in order of id, `uniform` falls. */
function drawFrom(kept: number[], probabilities: Float64Array, uniform: number): number {
  const ids = kept.toSorted((a, b) => a - b);
  let left = uniform * ids.reduce((sum, id) => sum + probabilities[id]!, 0);
  for (const id of ids) {
    left -= probabilities[id]!;
    if (left < 0) return id;
  }
  return ids.at(-1)!;
}

function sample(args: Args, round: Rounding) {
  const tokens = new Int32Array(args.rows);
  const log_probs = new Float64Array(args.rows);
  for (let row = 0; row < args.rows; row++) {
    const logits = args.logits.subarray(row * args.vocabulary, (row + 1) * args.vocabulary);
    const temperature = args.temperatures[row]!;
    // The inverse is an fp32 number by contract: training is given the same one.
    const inverse = temperature > 0 ? Math.fround(1 / temperature) : 1;
    const z = Float64Array.from(logits, (logit) => round(logit * inverse));
    const highest = z.reduce((a, b) => Math.max(a, b));
    let sum = 0;
    for (const value of z) sum = round(sum + round(Math.exp(round(value - highest))));
    const logSum = round(Math.log(sum));

    const exact = Float64Array.from(logits, (logit) => Math.exp(logit * inverse - highest));
    const [word0, word1] = philox(
      [args.steps[row]!, 0, 0, 0],
      [args.keys[2 * row]!, args.keys[2 * row + 1]!],
    );
    const uniform = (word0 * 2 ** 21 + (word1 >>> 11)) / 2 ** 53;
    tokens[row] =
      temperature > 0
        ? drawFrom(keptIds(logits, exact, args.top_k[row]!, args.top_p[row]!), exact, uniform)
        : keptIds(logits, exact, 1, 1)[0]!;
    log_probs[row] = round(round(z[tokens[row]!]! - highest) - logSum);
  }
  return { tokens, log_probs };
}

interface Shape {
  rows: number;
  vocabulary: number;
  temperatures: number[];
  topK?: number[];
  topP?: number[];
  /** Logits are multiples of a half, so that many are equal. */
  ties?: boolean;
}

const shapes: Shape[] = [
  { rows: 1, vocabulary: 1, temperatures: [1] },
  { rows: 200, vocabulary: 37, temperatures: [1, 0.2, 3] },
  { rows: 40, vocabulary: 1031, temperatures: [1], topK: [0, 1, 2, 50, 1031, 5000] },
  { rows: 40, vocabulary: 1031, temperatures: [0.7, 2], topP: [0.1, 0.5, 0.9, 0.999, 1] },
  { rows: 60, vocabulary: 257, temperatures: [1, 0.5], topK: [20, 0, 100], topP: [0.8, 0.3, 1, 0.95] },
  { rows: 60, vocabulary: 300, temperatures: [2], topK: [7, 0], topP: [1, 0.6, 0.2], ties: true },
  { rows: 12, vocabulary: 130, temperatures: [0, 1], ties: true },
  { rows: 5, vocabulary: 49_152, temperatures: [1], topK: [0, 0, 1000], topP: [1, 0.9] },
];

/** n elements that walk through `values` again and again. */
function cycle(n: number, values: number[]): number[] {
  return Array.from({ length: n }, (_, i) => values[i % values.length]!);
}

export const sampleCases: Conformance[] = shapes.map((shape) => {
  const { rows, vocabulary, ties } = shape;
  return conformance<Args>({
    op: "sample",
    title: JSON.stringify(shape),
    args: (random) => ({
      logits: normals(random, rows * vocabulary, 3).map((x) => (ties ? Math.round(x / 2) / 2 : x)),
      temperatures: Float32Array.from(cycle(rows, shape.temperatures)),
      top_k: Int32Array.from(cycle(rows, shape.topK ?? [0])),
      top_p: Float32Array.from(cycle(rows, shape.topP ?? [1])),
      keys: Uint32Array.from({ length: 2 * rows }, () => random.uint32()),
      steps: integers(random, rows, 300),
      tokens: new Int32Array(rows).fill(-1),
      log_probs: unwritten(rows),
      rows,
      vocabulary,
    }),
    reference: sample,
    outputs: { tokens: "exact", log_probs: "forward" },
    equivalents: (args) =>
      [0, rows >> 1, rows - 1].map((row) => ({
        title: `row ${row} alone`,
        args: {
          ...args,
          logits: args.logits.slice(row * vocabulary, (row + 1) * vocabulary),
          temperatures: args.temperatures.slice(row, row + 1),
          top_k: args.top_k.slice(row, row + 1),
          top_p: args.top_p.slice(row, row + 1),
          keys: args.keys.slice(2 * row, 2 * row + 2),
          steps: args.steps.slice(row, row + 1),
          rows: 1,
        },
        regions: rowsOf(row, 1, { tokens: 1, log_probs: 1 }),
      })),
  });
});
