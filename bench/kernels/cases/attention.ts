/** Attention over packed sequences and over the KV cache, and what prepares its operands. */
import type { Precision } from "../../../src/native/types.js";
import {
  type CaseList,
  type KernelCase,
  kernelCase,
  type Layout,
  type Numbers,
  numbers,
  zeros,
} from "../kernel-case.js";
import { rowsOf, type Scale } from "../scales.js";

interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

interface Sequences {
  readonly what: string;
  readonly sequences: number;
  readonly length: number;
  readonly heads: Heads;
  readonly causal: boolean;
}

const strideOf = ({ heads, kvHeads, headSize }: Heads) => (heads + 2 * kvHeads) * headSize;
const sizesOf = ({ heads, kvHeads, headSize }: Heads) => ({ heads, kv_heads: kvHeads, head_size: headSize });
const scaleOf = ({ headSize }: Heads) => Math.fround(1 / Math.sqrt(headSize));

function packedCases(
  scale: Scale,
  precision: Precision,
  { what, sequences, length, heads, causal }: Sequences,
): KernelCase[] {
  const rows = sequences * length;
  const width = heads.heads * heads.headSize;
  const forward = () => ({
    qkv: numbers(precision, rows * strideOf(heads), 1),
    segments: Int32Array.from(Array.from({ length: sequences }, (_, i) => [i * length, length, -1]).flat()),
    first_queries: null,
    out: zeros(precision, rows * width),
    log_sum_exp: new Float32Array(rows * heads.heads),
    ...{ segment_count: sequences, scale: scaleOf(heads), causal },
    ...sizesOf(heads),
  });
  const options = { scale, precision, what, sizes: [rows, heads.heads, heads.headSize] };
  return [
    kernelCase(
      "attention",
      { ...options, terms: length },
      { arguments: forward, results: { out: "forward", log_sum_exp: "forward" } },
    ),
    kernelCase(
      "attention_backward",
      { ...options, terms: (length * heads.heads) / heads.kvHeads },
      {
        arguments: (_, run) => {
          const args = forward();
          run("attention", args);
          return {
            ...args,
            dout: numbers(precision, rows * width, 2),
            dqkv: zeros(precision, rows * strideOf(heads)),
          };
        },
        results: { dqkv: "gradient" },
      },
    ),
  ];
}

/** Tokens of a page of the KV cache. */
const PAGE_TOKENS = 64;

/** Elements of one page of one layer; head sizes are multiples of 16, so that nothing is padded. */
const pageSize = ({ kvHeads, headSize }: Heads) => 2 * kvHeads * PAGE_TOKENS * headSize;

/** A page laid out by rows as the layout wants it, or back. */
function relaidPage(
  page: Numbers,
  { kvHeads, headSize }: Heads,
  { transposesKeys }: Layout,
  back = false,
): Numbers {
  if (!transposesKeys) return page;
  const other = page.slice();
  for (let head = 0; head < kvHeads; head++) {
    const base = head * PAGE_TOKENS * headSize;
    for (let slot = 0; slot < PAGE_TOKENS; slot++)
      for (let d = 0; d < headSize; d++) {
        const [row, column] = [base + slot * headSize + d, base + d * PAGE_TOKENS + slot];
        if (back) other[row] = page[column]!;
        else other[column] = page[row]!;
      }
  }
  return other;
}

function decodeCase(scale: Scale, precision: Precision, rows: number): KernelCase {
  const { keys, decoder: heads } = scale;
  const pagesPerRow = Math.ceil(keys / PAGE_TOKENS);
  return kernelCase(
    "attention_decode",
    { scale, precision, what: `${keys}-keys`, sizes: [rows, heads.heads, heads.headSize], terms: keys },
    {
      arguments: (layout) => ({
        qkv: numbers(precision, rows * strideOf(heads), 1),
        pages: Array.from({ length: rows * pagesPerRow }, (_, page) =>
          relaidPage(numbers(precision, pageSize(heads), 10 + page), heads, layout),
        ),
        lengths: new Int32Array(rows).fill(keys),
        out: zeros(precision, rows * heads.heads * heads.headSize),
        ...{ rows, max_pages: pagesPerRow, layer_offset: 0, scale: scaleOf(heads) },
        ...sizesOf(heads),
      }),
      results: { out: "forward" },
    },
  );
}

/** Prefill writes the rows of whole sequences, a decoding step one row of each of many. */
function writeCase(scale: Scale, precision: Precision, what: string, sequences: number, length: number) {
  const { decoder: heads } = scale;
  const pagesPerRow = Math.ceil(length / PAGE_TOKENS);
  const rows = sequences * length;
  return kernelCase(
    "kv_write",
    { scale, precision, what, sizes: [rows, heads.kvHeads, heads.headSize] },
    {
      arguments: () => {
        const all = Array.from({ length: sequences * pagesPerRow }, () => zeros(precision, pageSize(heads)));
        const pageOf = (row: number) =>
          Math.floor(row / length) * pagesPerRow + Math.floor((row % length) / PAGE_TOKENS);
        return {
          qkv: numbers(precision, rows * strideOf(heads), 1),
          pages: Array.from({ length: rows }, (_, row) => all[pageOf(row)]!),
          slots: Int32Array.from({ length: rows }, (_, row) => (row % length) % PAGE_TOKENS),
          ...{ rows, layer_offset: 0 },
          ...sizesOf(heads),
        };
      },
      results: ({ pages }, layout) =>
        [...new Set(pages as Numbers[])].map((page, index) => ({
          name: `page ${index}`,
          values: relaidPage(page, heads, layout, true),
          judgement: "exact",
        })),
    },
  );
}

function ropeCase(scale: Scale, precision: Precision, inverse: boolean): KernelCase {
  const rows = rowsOf(scale);
  const { heads, kvHeads, headSize } = scale.decoder;
  return kernelCase(
    "rope",
    {
      ...{ scale, precision, sizes: [rows, heads + kvHeads, headSize] },
      what: inverse ? "backward" : "forward",
    },
    {
      arguments: () => ({
        x: numbers(precision, rows * strideOf(scale.decoder), 1),
        positions: Int32Array.from({ length: rows }, (_, row) => row % scale.tokens),
        ...{ rows, row_stride: strideOf(scale.decoder), heads: heads + kvHeads, head_size: headSize },
        ...{ axes: 1, section_0: 0, section_1: 0, theta: 10_000, restarts: false, inverse },
      }),
      results: { x: inverse ? "gradient" : "forward" },
    },
  );
}

export const attentionCases: CaseList = (scale, precision) => {
  const { sequences, tokens, decoder, vision, decodeBatches } = scale;
  const visionHeads = {
    heads: vision.heads,
    kvHeads: vision.heads,
    headSize: vision.width / vision.heads,
  };
  const decoderRows = { what: "decoder", sequences, length: tokens, heads: decoder, causal: true };
  const visionRows = {
    ...{ what: "vision", sequences: vision.images, length: vision.tokens },
    ...{ heads: visionHeads, causal: false },
  };
  return [
    ...packedCases(scale, precision, decoderRows),
    ...packedCases(scale, precision, visionRows),
    ...decodeBatches.map((rows) => decodeCase(scale, precision, rows)),
    writeCase(scale, precision, "prefill", sequences, tokens),
    writeCase(scale, precision, "decode", decodeBatches.at(-1)!, 1),
    ...[false, true].map((inverse) => ropeCase(scale, precision, inverse)),
  ];
};
