/** Attention, on tensor cores and by rows, and its cache. */
import { newPages } from "../../ops/kv-pages.js";
import { clip, floats, half, halves, integers, mistral, sector, type TrafficCase, word } from "./case.js";

const { heads, kvHeads, headSize } = mistral;

/** Keys that tiles of `size` rows of a causal sequence see, added up. */
const seenByTiles = (tokens: number, size: number) => {
  let sum = 0;
  for (let first = 0; first < tokens; first += size) sum += Math.min(first + size, tokens);
  return sum;
};
/** Queries that see the tiles of `size` keys of a causal sequence, added up: those from a tile's first key on. */
const seeingTiles = (tokens: number, size: number) => {
  let sum = 0;
  for (let first = 0; first < tokens; first += size) sum += tokens - first;
  return sum;
};

/** Arguments of `attention` for one sequence, shared with its backward pass. */
const oneSequence = (
  numbers: typeof halves | typeof floats,
  { h, g, d, tokens, causal }: { h: number; g: number; d: number; tokens: number; causal: boolean },
) => ({
  qkv: numbers(tokens * (h + 2 * g) * d),
  segments: Int32Array.of(0, tokens, -1),
  first_queries: null,
  out: numbers(tokens * h * d),
  log_sum_exp: floats(tokens * h),
  segment_count: 1,
  heads: h,
  kv_heads: g,
  head_size: d,
  scale: 0.1,
  causal,
});

function onTensorCores(): TrafficCase[] {
  return [
    {
      title: "320 tokens of 32 heads over 8 of 128, in bf16",
      h: heads,
      g: kvHeads,
      d: headSize,
      tokens: 320,
      causal: true,
    },
    {
      title: "577 patches of 16 heads of 64, in bf16",
      h: clip.heads,
      g: clip.heads,
      d: clip.headSize,
      tokens: 577,
      causal: false,
    },
  ].flatMap(({ title, h, g, d, tokens, causal }): TrafficCase[] => {
    const [q, kv, row] = [h * d, 2 * g * d, (h + 2 * g) * d];
    const common = oneSequence(halves, { h, g, d, tokens, causal });
    const tiles = Math.ceil(tokens / 64);
    const seen = causal ? seenByTiles(tokens, 64) : tiles * tokens;
    const seeing = causal ? seeingTiles(tokens, 64) : tiles * tokens;
    const sums = tokens * h * word;
    return [
      {
        op: "attention",
        title,
        args: common,
        kernels: {
          attention_tile_kernel: {
            once: { "q and out": 2 * tokens * q * half, "k and v": tokens * kv * half, log_sum_exp: sums },
            again: {
              "k and v, for every tile of 64 queries of a head": (seen * h * 2 * d - tokens * kv) * half,
            },
          },
        },
      },
      {
        op: "attention_backward",
        title,
        args: { ...common, dout: halves(tokens * q), dqkv: halves(tokens * row) },
        kernels: {
          attention_backward_statistics_kernel: {
            once: { "out and dout": 2 * tokens * q * half, log_sum_exp: sums },
            again: { statistics: 2 * sums },
          },
          attention_backward_query_tile_kernel: {
            once: { "q and dq": 2 * tokens * q * half },
            again: {
              dout: tokens * q * half,
              statistics: 2 * sums,
              "k and v, for every tile of 64 queries of a head": seen * h * 2 * d * half,
            },
          },
          attention_backward_key_tile_kernel: {
            once: { "k, v, dk and dv": 2 * tokens * kv * half },
            again: {
              "q, dout and statistics, for every tile of 64 keys": seeing * h * (2 * d * half + 2 * word),
            },
          },
        },
      },
    ];
  });
}

/** What tensor cores do not take: fp32. A warp per row reads all that the row sees. */
function byRows(): TrafficCase[] {
  const [h, g, d, tokens] = [8, 2, headSize, 48];
  const [q, kv, row] = [h * d, 2 * g * d, (h + 2 * g) * d];
  const seen = (tokens * (tokens + 1)) / 2;
  const sums = tokens * h * word;
  const common = oneSequence(floats, { h, g, d, tokens, causal: true });
  return [
    {
      op: "attention",
      title: "48 tokens of 8 heads over 2 of 128, in fp32",
      args: common,
      kernels: {
        attention_row_kernel: {
          once: { "q and out": 2 * tokens * q * word, "k and v": tokens * kv * word, log_sum_exp: sums },
          again: { "k and v, for every query and head": (seen * h * 2 * d - tokens * kv) * word },
        },
      },
    },
    {
      op: "attention_backward",
      title: "48 tokens of 8 heads over 2 of 128, in fp32",
      args: { ...common, dout: floats(tokens * q), dqkv: floats(tokens * row) },
      kernels: {
        attention_backward_statistics_kernel: {
          once: { "out and dout": 2 * tokens * q * word, log_sum_exp: sums },
          again: { statistics: 2 * sums },
        },
        attention_backward_query_row_kernel: {
          once: { "q and dq": 2 * tokens * q * word },
          again: {
            dout: tokens * q * word,
            "statistics, 32 bytes each": 2 * tokens * h * sector,
            "k and v, for every query and head": seen * h * 2 * d * word,
          },
        },
        attention_backward_key_row_kernel: {
          once: { "k, v, dk and dv": 2 * tokens * kv * word },
          again: {
            "q and dout, for every key": seen * h * 2 * d * word,
            "statistics for every key, 32 bytes each": 2 * seen * h * sector,
          },
        },
      },
    },
  ];
}

function decoding(): TrafficCase[] {
  const [rows, tokens] = [4, 876];
  const row = (heads + 2 * kvHeads) * headSize;
  const layout = { kv_heads: kvHeads, head_size: headSize, layer_offset: 0 };
  const pagesPerRow = Math.ceil(tokens / 64);
  const lists = Array.from({ length: rows }, () =>
    newPages(layout, tokens).map(({ length }) => halves(length)),
  );
  const common = {
    qkv: halves(rows * row),
    pages: lists.flat(),
    lengths: integers(rows, () => tokens),
    out: halves(rows * heads * headSize),
    rows,
    max_pages: pagesPerRow,
    layer_offset: 0,
    heads,
    kv_heads: kvHeads,
    head_size: headSize,
    scale: 0.1,
  };
  const keys = rows * tokens * 2 * kvHeads * headSize * half;
  const parts = Math.ceil(tokens / 128);
  const [sums, totals] = [rows * heads * parts * headSize * word, rows * heads * parts * 8];
  const q = rows * heads * headSize * half;
  const written = 2 * rows * kvHeads * headSize * half;
  return [
    {
      op: "attention_decode",
      title: "4 sequences of 876 tokens, 32 heads over 8 of 128, in bf16",
      args: common,
      kernels: {
        attention_decode_part_kernel: {
          once: { "k and v": keys, q, lengths: rows * word },
          again: { "q, for every part but one": (parts - 1) * q, sums, "totals, 32 bytes each": 4 * totals },
        },
        attention_decode_combine_kernel: {
          once: { out: q },
          again: { sums, "totals twice, 32 bytes each": 2 * 4 * totals },
        },
      },
    },
    {
      op: "kv_write",
      title: "16 rows of 8 heads of 128, in bf16",
      args: {
        qkv: halves(16 * row),
        pages: Array.from({ length: 16 }, () => halves(lists[0]![0]!.length)),
        slots: integers(16, (i) => i),
        rows: 16,
        layer_offset: 0,
        heads,
        kv_heads: kvHeads,
        head_size: headSize,
      },
      kernels: {
        kv_write_row_kernel: {
          once: { "read and written": (16 / rows) * 2 * written, slots: 16 * word },
          again: { "page and slot, 32 bytes per warp": 16 * 8 * 2 * 32 },
        },
      },
    },
  ];
}

/** Decoding in fp32: a warp per row and head reads all its keys. */
function decodingByRows(): TrafficCase {
  const [rows, tokens, h, g] = [2, 100, 8, 2];
  const layout = { kv_heads: g, head_size: headSize, layer_offset: 0 };
  const keys = rows * tokens * 2 * g * headSize * word;
  const q = rows * h * headSize * word;
  return {
    op: "attention_decode",
    title: "2 sequences of 100 tokens, 8 heads over 2 of 128, in fp32",
    args: {
      qkv: floats(rows * (h + 2 * g) * headSize),
      pages: Array.from({ length: rows }, () =>
        newPages(layout, tokens).map(({ length }) => floats(length)),
      ).flat(),
      lengths: integers(rows, () => tokens),
      out: floats(rows * h * headSize),
      rows,
      max_pages: Math.ceil(tokens / 64),
      layer_offset: 0,
      heads: h,
      kv_heads: g,
      head_size: headSize,
      scale: 0.1,
    },
    kernels: {
      attention_decode_row_kernel: {
        once: { "k and v": keys, "q and out": 2 * q, lengths: rows * word },
        again: {
          "k and v, for every head but one of a group": (h / g - 1) * keys,
          "the page of every key and value, 32 bytes each": rows * h * 2 * tokens * sector,
        },
      },
    },
  };
}

export const attentionCases: readonly TrafficCase[] = [
  ...onTensorCores(),
  ...byRows(),
  ...decoding(),
  decodingByRows(),
];
