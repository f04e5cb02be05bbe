import type { Random } from "../../src/random.js";
import {
  type Conformance,
  conformance,
  derivativeOf,
  type Equivalent,
  type Region,
  type Rounding,
} from "./conformance.js";
import { type Floats, normals, unwritten } from "./inputs.js";
import { roundStored } from "./storage.js";

type Sizes = {
  segment_count: number;
  heads: number;
  kv_heads: number;
  head_size: number;
  scale: number;
  causal: boolean;
};
type Inputs = Sizes & { qkv: Floats; segments: Int32Array; first_queries: Int32Array | null };
type Forward = Inputs & { out: Floats; log_sum_exp: Floats };
type Backward = Inputs & { dout: Floats; out: Floats; log_sum_exp: Floats; dqkv: Floats };

/** Rows of a packed batch that a row sees, in order of position. */
interface View {
  row: number;
  keys: number[];
}

function range(first: number, length: number): number[] {
  return Array.from({ length }, (_, i) => first + i);
}

/** Every query of the batch with the rows that it sees. */
function* views({ segments, first_queries, causal }: Inputs): Generator<View> {
  for (let s = 0; s < segments.length; s += 3) {
    const [first, length, prefix] = [segments[s]!, segments[s + 1]!, segments[s + 2]!];
    const before = prefix < 0 ? [] : range(segments[3 * prefix]!, segments[3 * prefix + 1]!);
    for (let t = first_queries?.[s / 3] ?? 0; t < length; t++)
      yield { row: first + t, keys: [...before, ...range(first, causal ? t + 1 : length)] };
  }
}

/** Floats from the start of `qkv` to a row's query, key or value of query head h. */
function offsets({ heads, kv_heads, head_size }: Sizes, h: number) {
  const stride = (heads + 2 * kv_heads) * head_size;
  const kvHead = Math.floor(h / (heads / kv_heads));
  return {
    query: (row: number) => row * stride + h * head_size,
    key: (row: number) => row * stride + (heads + kvHead) * head_size,
    value: (row: number) => row * stride + (heads + kv_heads + kvHead) * head_size,
  };
}

function dot(x: Floats, xAt: number, y: Floats, yAt: number, count: number, round: Rounding): number {
  let sum = 0;
  for (let d = 0; d < count; d++) sum = round(sum + round(x[xAt + d]! * y[yAt + d]!));
  return sum;
}

function attend(args: Inputs, round: Rounding, _store = round, operand = round) {
  const { qkv, heads, head_size, scale } = args;
  const rows = qkv.length / ((heads + 2 * args.kv_heads) * head_size);
  const out = new Float64Array(rows * heads * head_size);
  const log_sum_exp = new Float64Array(rows * heads);
  for (const { row, keys } of views(args))
    for (let h = 0; h < heads; h++) {
      const { query, key, value } = offsets(args, h);
      const scores = keys.map((s) => round(scale * dot(qkv, query(row), qkv, key(s), head_size, round)));
      const highest = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => round(Math.exp(round(score - highest))));
      const total = weights.reduce((sum, weight) => round(sum + weight));
      const result = out.subarray((row * heads + h) * head_size, (row * heads + h + 1) * head_size);
      keys.forEach((s, i) => {
        for (let d = 0; d < head_size; d++)
          result[d] = round(result[d]! + round(operand(weights[i]!) * qkv[value(s) + d]!));
      });
      for (let d = 0; d < head_size; d++) result[d] = round(result[d]! / total);
      log_sum_exp[row * heads + h] = round(highest + round(Math.log(total)));
    }
  return { out, log_sum_exp };
}

function attendBackward(args: Backward, round: Rounding, _store = round, operand = round) {
  const { qkv, dout, out, log_sum_exp, heads, head_size, scale } = args;
  const dqkv = new Float64Array(qkv.length);
  const add = (at: number, factor: number, x: Floats, xAt: number) => {
    for (let d = 0; d < head_size; d++) dqkv[at + d] = round(dqkv[at + d]! + round(factor * x[xAt + d]!));
  };
  for (const { row, keys } of views(args))
    for (let h = 0; h < heads; h++) {
      const { query, key, value } = offsets(args, h);
      const at = (row * heads + h) * head_size;
      const delta = dot(dout, at, out, at, head_size, round);
      for (const s of keys) {
        const score = round(scale * dot(qkv, query(row), qkv, key(s), head_size, round));
        const weight = round(Math.exp(round(score - log_sum_exp[row * heads + h]!)));
        const dweight = dot(dout, at, qkv, value(s), head_size, round);
        const dscore = round(operand(round(weight * round(dweight - delta))) * scale);
        add(query(row), dscore, qkv, key(s));
        add(key(s), dscore, qkv, query(row));
        add(value(s), operand(weight), dout, at);
      }
    }
  return { dqkv };
}

interface Shape {
  heads: number;
  kvHeads: number;
  headSize: number;
  /** Length and prefix of each segment. */
  segments: [length: number, prefix: number][];
  bidirectional?: boolean;
  /** The first row of each segment that is a query; default: all are. */
  firstQueries?: number[];
}

function rowCount({ segments }: Shape): number {
  return segments.reduce((rows, [length]) => rows + length, 0);
}

function inputs(
  { heads, kvHeads, headSize, segments, bidirectional, firstQueries }: Shape,
  random: Random,
): Inputs {
  let rows = 0;
  const table = segments.flatMap(([length, prefix]) => {
    rows += length;
    return [rows - length, length, prefix];
  });
  return {
    qkv: normals(random, rows * (heads + 2 * kvHeads) * headSize),
    segments: Int32Array.from(table),
    first_queries: firstQueries ? Int32Array.from(firstQueries) : null,
    segment_count: segments.length,
    heads,
    kv_heads: kvHeads,
    head_size: headSize,
    scale: Math.fround(1 / Math.sqrt(headSize)),
    causal: !bidirectional,
  };
}

/** Every segment alone: as a sequence that shares nothing, and, where it continues a prefix, with the prefix alone. */
function segmentsAlone(args: Forward): Equivalent<Forward>[] {
  const { qkv, segments, heads, kv_heads, head_size } = args;
  const stride = (heads + 2 * kv_heads) * head_size;
  const rowsOfQkv = (first: number, length: number) => qkv.slice(first * stride, (first + length) * stride);
  const region = (whole: number, part: number, rows: number): Record<string, Region> => {
    const of = (size: number) => ({ whole: whole * size, part: part * size, length: rows * size });
    return { out: of(heads * head_size), log_sum_exp: of(heads) };
  };
  return range(0, args.segment_count).flatMap((i) => {
    const firstQuery = args.first_queries?.[i] ?? 0;
    const [first, length, prefix] = segments.subarray(3 * i, 3 * i + 3) as unknown as [
      number,
      number,
      number,
    ];
    const before = prefix < 0 ? 0 : segments[3 * prefix + 1]!;
    const shared = prefix < 0 ? [] : [...rowsOfQkv(segments[3 * prefix]!, before)];
    const alone = (title: string, table: number[]): Equivalent<Forward> => ({
      title: `segment ${i} ${title}`,
      args: {
        ...args,
        qkv: Float32Array.from([...shared, ...rowsOfQkv(first, length)]),
        segments: Int32Array.from(table),
        first_queries: null,
        segment_count: table.length / 3,
      },
      regions: region(first + firstQuery, before + firstQuery, length - firstQuery),
    });
    return [
      alone("as one sequence", [0, before + length, -1]),
      ...(prefix < 0 ? [] : [alone("behind its prefix", [0, before, -1, before, length, 0])]),
    ];
  });
}

const shapes: Shape[] = [
  { heads: 1, kvHeads: 1, headSize: 8, segments: [[1, -1]] },
  {
    heads: 4,
    kvHeads: 2,
    headSize: 8,
    segments: [
      [1, -1],
      [63, -1],
      [64, -1],
      [65, -1],
    ],
  },
  {
    heads: 3,
    kvHeads: 1,
    headSize: 12,
    segments: [
      [70, -1],
      [5, 0],
      [64, 0],
      [1, 0],
      [3, -1],
      [64, -1],
      [1, 5],
      [66, 5],
    ],
  },
  {
    heads: 3,
    kvHeads: 3,
    headSize: 32,
    bidirectional: true,
    segments: [
      [1, -1],
      [16, -1],
      [65, -1],
    ],
  },
  {
    heads: 4,
    kvHeads: 2,
    headSize: 24,
    segments: [
      [70, -1],
      [5, 0],
      [64, 0],
      [9, -1],
      [33, -1],
      [20, 4],
    ],
    firstQueries: [69, 0, 7, 9, 0, 3],
  },
  {
    heads: 2,
    kvHeads: 2,
    headSize: 16,
    segments: [
      [263, -1],
      [59, 0],
    ],
  },
  {
    heads: 2,
    kvHeads: 1,
    headSize: 72,
    segments: [
      [129, -1],
      [33, 0],
    ],
  },
];

/** As `array`, `size` elements a row, with `value` in the rows that are no queries. */
function withoutQueries(
  array: Float32Array,
  size: number,
  { segments, first_queries }: Inputs,
  value: number,
) {
  first_queries?.forEach((count, i) => {
    const first = segments[3 * i]!;
    array.fill(value, first * size, (first + count) * size);
  });
  return array;
}

export const attentionCases: Conformance[] = shapes.flatMap((shape) => [
  conformance<Forward>({
    op: "attention",
    title: JSON.stringify(shape),
    args: (random) => {
      const { heads, headSize } = shape;
      const rows = rowCount(shape);
      const given = inputs(shape, random);
      // Rows that are no queries keep what they hold, which is what the reference leaves there.
      return {
        ...given,
        out: withoutQueries(unwritten(rows * heads * headSize), heads * headSize, given, 0),
        log_sum_exp: withoutQueries(unwritten(rows * heads), heads, given, 0),
      };
    },
    reference: attend,
    outputs: { out: "forward", log_sum_exp: "forward" },
    stored: ["qkv", "out"],
    equivalents: segmentsAlone,
  }),
  conformance<Backward>({
    op: "attention_backward",
    title: JSON.stringify(shape),
    args: (random, _backend, storage) => {
      const given = inputs(shape, random);
      // The sums of the forward pass are those of the scores that the op computes again, or weights could exceed 1.
      if (storage === "bf16") roundStored(["qkv"], given);
      const { out, log_sum_exp } = attend(given, (x) => x);
      // Nothing is read of rows that are no queries.
      const unread = (array: Float32Array, size: number) => withoutQueries(array, size, given, Number.NaN);
      return {
        ...given,
        dout: unread(normals(random, out.length), shape.heads * shape.headSize),
        out: unread(Float32Array.from(out), shape.heads * shape.headSize),
        log_sum_exp: unread(Float32Array.from(log_sum_exp), shape.heads),
        dqkv: unwritten(given.qkv.length),
      };
    },
    reference: attendBackward,
    outputs: { dqkv: "gradient" },
    stored: ["dout", "qkv", "out", "dqkv"],
    // Differences take a hundred forward passes, so they are left out where one is slow.
    ...(rowCount(shape) * shape.heads * shape.headSize < 10_000 && {
      derivative: derivativeOf<Backward, Inputs>({
        inputs: ({ dout, out, log_sum_exp, dqkv, ...args }) => args,
        forward: attend,
        cotangents: { out: "dout" },
        gradients: { dqkv: "qkv" },
      }),
    }),
  }),
]);
