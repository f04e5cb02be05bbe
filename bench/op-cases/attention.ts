/** Attention over packed sequences, its gradient, and over the KV cache. */
import { fp32Epsilon, type OpCase, requireClose, runOp, samples, unwritten } from "../op-case.js";
import { source, uniforms } from "../random-inputs.js";
import { type OpArguments, testingAddon } from "../testing-addon.js";

interface Shape {
  readonly name: string;
  readonly sequences: number;
  readonly tokens: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly causal: boolean;
}

const shapes: readonly Shape[] = [
  { name: "decoder-7m", sequences: 16, tokens: 192, heads: 8, kvHeads: 8, headSize: 32, causal: true },
  { name: "decoder-135m", sequences: 4, tokens: 256, heads: 9, kvHeads: 3, headSize: 64, causal: true },
  { name: "tiny-vlm", sequences: 16, tokens: 166, heads: 4, kvHeads: 4, headSize: 32, causal: true },
  { name: "vision", sequences: 16, tokens: 64, heads: 4, kvHeads: 4, headSize: 32, causal: false },
];

/** Pairs (query, key) of one head in the whole batch. */
function visiblePairs({ sequences, tokens, causal }: Shape): number {
  return sequences * (causal ? (tokens * (tokens + 1)) / 2 : tokens ** 2);
}

const rowStride = ({ heads, kvHeads, headSize }: Shape) => (heads + 2 * kvHeads) * headSize;
const scaleOf = (headSize: number) => Math.fround(1 / Math.sqrt(headSize));

function forwardArguments(shape: Shape) {
  const { sequences, tokens, heads, kvHeads, headSize, causal } = shape;
  const rows = sequences * tokens;
  const segments = Array.from({ length: sequences }, (_, i) => [i * tokens, tokens, -1]).flat();
  return {
    qkv: uniforms(source(4, tokens, heads), rows * rowStride(shape)),
    segments: Int32Array.from(segments),
    first_queries: null,
    out: unwritten(rows * heads * headSize),
    log_sum_exp: unwritten(rows * heads),
    segment_count: sequences,
    heads,
    kv_heads: kvHeads,
    head_size: headSize,
    scale: scaleOf(headSize),
    causal,
  };
}

/** Sums of at most a few hundred terms of size one; the exponential is exact to a few units. */
const allowed = 4096 * fp32Epsilon;

function dot(x: Float32Array, xAt: number, y: Float32Array, yAt: number, count: number): number {
  let sum = 0;
  for (let d = 0; d < count; d++) sum += x[xAt + d]! * y[yAt + d]!;
  return sum;
}

/** The last row of the batch in its last head: where its keys are and how much of each it takes. */
function lastRow(shape: Shape, { qkv, scale }: { qkv: Float32Array; scale: number }) {
  const { sequences, tokens, heads, kvHeads, headSize } = shape;
  const stride = rowStride(shape);
  const row = sequences * tokens - 1;
  const query = row * stride + (heads - 1) * headSize;
  const keyAt = (s: number) => (row - tokens + 1 + s) * stride + (heads + kvHeads - 1) * headSize;
  const valueAt = (s: number) => keyAt(s) + kvHeads * headSize;
  const scores = Array.from({ length: tokens }, (_, s) => scale * dot(qkv, query, qkv, keyAt(s), headSize));
  const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
  const weights = scores.map((score) => Math.exp(score) / total);
  return { row, query, keyAt, valueAt, weights, outAt: (row * heads + heads - 1) * headSize };
}

function forwardCase(shape: Shape): OpCase {
  const rows = shape.sequences * shape.tokens;
  return {
    id: `ops/attention/${shape.name}`,
    op: "attention",
    limit: "fp32",
    flops: 4 * shape.headSize * shape.heads * visiblePairs(shape),
    bytes: 4 * rows * (rowStride(shape) + shape.heads * (shape.headSize + 1)),
    prepare: (context) => {
      const args = forwardArguments(shape);
      return {
        args,
        check: () => {
          runOp(context, "attention", args);
          const { valueAt, weights, outAt } = lastRow(shape, args);
          for (const d of samples(shape.headSize)) {
            const expected = weights.reduce((sum, weight, s) => sum + weight * args.qkv[valueAt(s) + d]!, 0);
            requireClose(`out of the last row, ${d}`, args.out[outAt + d]!, expected, allowed);
          }
        },
      };
    },
  };
}

function backwardCase(shape: Shape): OpCase {
  const { headSize, heads } = shape;
  const rows = shape.sequences * shape.tokens;
  return {
    id: `ops/attention-backward/${shape.name}`,
    op: "attention_backward",
    limit: "fp32",
    // Scores again, and the gradients of weights, queries, keys and values.
    flops: 10 * headSize * heads * visiblePairs(shape),
    bytes: 4 * rows * (2 * rowStride(shape) + heads * (2 * headSize + 1)),
    prepare: (context) => {
      const forward = forwardArguments(shape);
      runOp(context, "attention", forward);
      const dout = uniforms(source(5), forward.out.length);
      const dqkv = unwritten(forward.qkv.length);
      const args: OpArguments = { ...forward, dout, dqkv };
      return {
        args,
        check: () => {
          runOp(context, "attention_backward", args);
          const { query, keyAt, valueAt, weights, outAt } = lastRow(shape, forward);
          const delta = dot(dout, outAt, forward.out, outAt, headSize);
          for (const d of samples(headSize)) {
            const expected = weights.reduce((sum, weight, s) => {
              const dweight = dot(dout, outAt, forward.qkv, valueAt(s), headSize);
              return sum + forward.scale * weight * (dweight - delta) * forward.qkv[keyAt(s) + d]!;
            }, 0);
            requireClose(`dq of the last row, ${d}`, dqkv[query + d]!, expected, headSize * allowed);
          }
        },
      };
    },
  };
}

interface DecodeShape {
  readonly name: string;
  readonly rows: number;
  readonly context: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

/** Tokens of a page of the KV cache. */
const PAGE_TOKENS = 64;

function decodeCase({ name, rows, context: length, heads, kvHeads, headSize }: DecodeShape): OpCase {
  return {
    id: `ops/attention-decode/${name}`,
    op: "attention_decode",
    limit: "memory",
    flops: 4 * headSize * heads * rows * length,
    bytes: 4 * rows * headSize * (2 * kvHeads * length + 2 * heads),
    prepare: (context) => {
      const random = source(6, rows);
      const pageSize = testingAddon.pageLayerSize(kvHeads, headSize);
      const pagesPerRow = Math.ceil(length / PAGE_TOKENS);
      const stride = (heads + 2 * kvHeads) * headSize;
      const qkv = uniforms(random, rows * stride);
      const pages = Array.from({ length: rows * pagesPerRow }, () => uniforms(random, pageSize));
      const out = unwritten(rows * heads * headSize);
      const scale = scaleOf(headSize);
      const args: OpArguments = {
        qkv,
        pages,
        lengths: new Int32Array(rows).fill(length),
        out,
        rows,
        max_pages: pagesPerRow,
        layer_offset: 0,
        heads,
        kv_heads: kvHeads,
        head_size: headSize,
        scale,
      };
      return {
        args,
        check: () => {
          runOp(context, "attention_decode", args);
          // The last row in its first head, which reads the first key head.
          const query = (rows - 1) * stride;
          const valueWidth = Math.ceil(headSize / 16) * 16;
          const page = (s: number) => pages[(rows - 1) * pagesPerRow + Math.floor(s / PAGE_TOKENS)]!;
          const key = (s: number, d: number) => page(s)[d * PAGE_TOKENS + (s % PAGE_TOKENS)]!;
          const value = (s: number, d: number) =>
            page(s)[kvHeads * headSize * PAGE_TOKENS + (s % PAGE_TOKENS) * valueWidth + d]!;
          const weights = Array.from({ length }, (_, s) => {
            let score = 0;
            for (let d = 0; d < headSize; d++) score += qkv[query + d]! * key(s, d);
            return Math.exp(scale * score);
          });
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          for (const d of samples(headSize)) {
            const sum = weights.reduce((sum, weight, s) => sum + weight * value(s, d), 0);
            const received = out[(rows - 1) * heads * headSize + d]!;
            requireClose(`out of the last row, ${d}`, received, sum / total, allowed);
          }
        },
      };
    },
  };
}

export const attentionCases: readonly OpCase[] = [
  ...shapes.flatMap((shape) => [forwardCase(shape), backwardCase(shape)]),
  decodeCase({ name: "decoder-7m", rows: 32, context: 184, heads: 8, kvHeads: 8, headSize: 32 }),
  decodeCase({ name: "decoder-135m", rows: 8, context: 1000, heads: 9, kvHeads: 3, headSize: 64 }),
];
