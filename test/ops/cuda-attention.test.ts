import { beforeAll, describe, expect, test } from "vitest";
import { deriveKey, Random } from "../../src/random.js";
import { withoutCuda } from "../emulated-cuda.js";
import { emulator } from "../emulator/cuda.js";
import { normals } from "./inputs.js";
import { cudaEmulated as backend } from "./native-ops.js";
import { bitsOf, largestRounding, toBfloat16 } from "./storage.js";

/**
 * The tensor-core kernels of attention at the shape of a layer of Mistral-7B over an image and its prompt and answer: values
 * against float64, and what their accesses cost beside the ideal.
 */
const [rows, heads, kvHeads, headSize] = [876, 32, 8, 128];
const [group, stride] = [heads / kvHeads, (heads + 2 * kvHeads) * headSize];
const scale = Math.fround(1 / Math.sqrt(headSize));

type Rounding = (x: number) => number;

/** A (rows, headSize) matrix: what the head that begins at `column` has of rows that are `width` wide. */
function headOf(array: Float32Array, width: number, column: number): Float64Array {
  const head = new Float64Array(rows * headSize);
  for (let row = 0; row < rows; row++)
    head.set(array.subarray(row * width + column, row * width + column + headSize), row * headSize);
  return head;
}

const dot = (x: Float64Array, i: number, y: Float64Array, j: number) => {
  let sum = 0;
  for (let d = 0; d < headSize; d++) sum += x[i * headSize + d]! * y[j * headSize + d]!;
  return sum;
};

function add(to: Float64Array, i: number, factor: number, x: Float64Array, j: number): void {
  for (let d = 0; d < headSize; d++) to[i * headSize + d]! += factor * x[j * headSize + d]!;
}

/** Causal attention of one query head and its gradients, where P and dS pass through `operand` before they are multiplied. */
function reference(
  { q, k, v, dout, out }: Record<"q" | "k" | "v" | "dout" | "out", Float64Array>,
  operand: Rounding,
) {
  const result = Object.fromEntries(
    ["out", "dq", "dk", "dv"].map((name) => [name, new Float64Array(rows * headSize)]),
  ) as Record<"out" | "dq" | "dk" | "dv", Float64Array>;
  for (let t = 0; t < rows; t++) {
    const scores = Float64Array.from({ length: t + 1 }, (_, s) => scale * dot(q, t, k, s));
    const highest = scores.reduce((a, b) => Math.max(a, b));
    const total = scores.reduce((sum, score) => sum + Math.exp(score - highest), 0);
    const delta = dot(dout, t, out, t);
    for (let s = 0; s <= t; s++) {
      const weight = Math.exp(scores[s]! - highest);
      const probability = weight / total;
      const dscore = scale * operand(probability * (dot(dout, t, v, s) - delta));
      add(result.out, t, operand(weight) / total, v, s);
      add(result.dq, t, dscore, k, s);
      add(result.dk, s, dscore, q, t);
      add(result.dv, s, operand(probability), dout, t);
    }
  }
  return result;
}

const largest = (x: Float64Array, of: (i: number) => number) =>
  x.reduce((most, _, i) => Math.max(most, of(i)), 0);

/** As in conformance: `factor` times what rounding the operands errs, and the rounding of what is stored. */
function expectClose(
  name: string,
  actual: Float64Array,
  truth: Float64Array,
  baseline: Float64Array,
  factor: number,
): void {
  const rounding = largest(truth, (i) => Math.abs(baseline[i]! - truth[i]!));
  const allowed = factor * rounding + 2 ** -23 * largest(truth, (i) => Math.abs(truth[i]!));
  const excess = actual.map(
    (x, i) => Math.abs(x - truth[i]!) - largestRounding(Math.abs(truth[i]!) + allowed),
  );
  expect(excess.every(Number.isFinite), name).toBe(true);
  expect(
    largest(excess, (i) => excess[i]!),
    `error of ${name}, where rounding errs ${rounding}`,
  ).toBeLessThanOrEqual(allowed);
}

const fromBits = (bits: Uint16Array) => new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer);

describe.skipIf(withoutCuda !== "")(`attention of 876 tokens, 32 heads over 8 of 128${withoutCuda}`, () => {
  const random = new Random(deriveKey(4));
  const rounded = (count: number) => normals(random, count).map(toBfloat16);
  const qkv = rounded(rows * stride);
  const dout = rounded(rows * heads * headSize);
  const out = new Uint16Array(rows * heads * headSize);
  const dqkv = new Uint16Array(rows * stride);
  let traffic: ReturnType<typeof emulator.traffic> = {};

  beforeAll(() => {
    const log_sum_exp = new Float32Array(rows * heads);
    const sizes = { heads, kv_heads: kvHeads, head_size: headSize, scale, causal: true };
    const segments = { segments: Int32Array.of(0, rows, -1), first_queries: null, segment_count: 1 };
    const args = { qkv: bitsOf(qkv), out, log_sum_exp, ...segments, ...sizes };
    emulator.configure({ countTraffic: 1 });
    backend.run("attention", args, 2);
    traffic = emulator.traffic();
    backend.run("attention_backward", { ...args, dout: bitsOf(dout), dqkv }, 2);
    traffic = { ...traffic, ...emulator.traffic() };
    emulator.configure({});
  }, 120_000);

  test("agrees with float64", () => {
    // One key head of eight: heads do not meet.
    const kvHead = 5;
    const column = (first: number) => (first + kvHead) * headSize;
    const [k, v] = [heads, heads + kvHeads].map((first) => headOf(qkv, stride, column(first))) as [
      Float64Array,
      Float64Array,
    ];
    const sums = ["truth", "baseline"].map(() => [new Float64Array(k.length), new Float64Array(k.length)]);
    const computed = fromBits(out);
    const gradient = fromBits(dqkv);
    for (let h = kvHead * group; h < (kvHead + 1) * group; h++) {
      const ofHead = (array: Float32Array, width = heads * headSize) => headOf(array, width, h * headSize);
      const inputs = { q: ofHead(qkv, stride), k, v, dout: ofHead(dout), out: ofHead(computed) };
      const [truth, baseline] = [(x: number) => x, toBfloat16].map((operand) =>
        reference(inputs, operand),
      ) as [ReturnType<typeof reference>, ReturnType<typeof reference>];
      expectClose(`out of head ${h}`, inputs.out, truth.out, baseline.out, 2);
      expectClose(`dq of head ${h}`, ofHead(gradient, stride), truth.dq, baseline.dq, 3);
      [truth, baseline].forEach(({ dk, dv }, i) => {
        [dk, dv].forEach((of, j) => {
          sums[i]![j] = sums[i]![j]!.map((sum, at) => sum + of[at]!);
        });
      });
    }
    [heads, heads + kvHeads].forEach((first, i) => {
      const name = `${i === 0 ? "dk" : "dv"} of head ${kvHead}`;
      expectClose(name, headOf(gradient, stride, column(first)), sums[0]![i]!, sums[1]![i]!, 3);
    });
  });

  test("costs hardly more than the ideal number of sectors and wavefronts", () => {
    const kernels = Object.entries(traffic);
    expect(
      kernels.map(([name]) => /attention_(backward_)?[a-z]+(_tile)?_kernel/.exec(name)?.[0]).sort(),
    ).toEqual([
      "attention_backward_key_tile_kernel",
      "attention_backward_query_tile_kernel",
      "attention_backward_statistics_kernel",
      "attention_tile_kernel",
    ]);
    for (const [name, counted] of kernels) {
      expect(counted.globalSectors! / counted.globalIdealSectors!, name).toBeLessThan(1.05);
      expect(counted.sharedWavefronts! / counted.sharedIdealWavefronts!, name).toBeLessThan(1.1);
    }
  });
});
