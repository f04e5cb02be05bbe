import { type Conformance, conformance, type Rounding, rowsOf } from "./conformance.js";
import { type Floats, normals, unwritten } from "./inputs.js";
import { type KvLayout, newPages, pageSize, pageTokens, placesIn } from "./kv-pages.js";
import type { Backend } from "./native-ops.js";

/** The keys and values of every token that a row sees come in the order (token, key or value, head, D). */
type Decode = KvLayout & {
  qkv: Floats;
  history: Float32Array[];
  lengths: Int32Array;
  out: Floats;
  rows: number;
  heads: number;
  scale: number;
};

function attend(
  { qkv, history, lengths, rows, heads, kv_heads, head_size, scale }: Decode,
  round: Rounding,
  _store = round,
  operand = round,
) {
  const out = new Float64Array(rows * heads * head_size);
  for (let n = 0; n < rows; n++)
    for (let h = 0; h < heads && lengths[n]! > 0; h++) {
      const head = Math.floor(h / (heads / kv_heads));
      const query = (n * (heads + 2 * kv_heads) + h) * head_size;
      const keyAt = (s: number) => (s * 2 * kv_heads + head) * head_size;
      const scores = Array.from({ length: lengths[n]! }, (_, s) => {
        let sum = 0;
        for (let d = 0; d < head_size; d++)
          sum = round(sum + round(qkv[query + d]! * history[n]![keyAt(s) + d]!));
        return round(sum * scale);
      });
      const highest = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => round(Math.exp(round(score - highest))));
      const total = weights.reduce((sum, weight) => round(sum + weight));
      for (let d = 0; d < head_size; d++) {
        const sum = weights.reduce((sum, weight, s) => {
          return round(sum + round(operand(weight) * history[n]![keyAt(s) + kv_heads * head_size + d]!));
        }, 0);
        out[(n * heads + h) * head_size + d] = round(sum / total);
      }
    }
  return { out };
}

/** The pages that hold a row's history; what no token has filled is not a number. */
function pagesOf(args: Decode, row: number, backend: Backend): Float32Array[] {
  const { kv_heads, head_size } = args;
  const places = placesIn(args, backend);
  const pages = newPages(args, args.lengths[row]!);
  const history = args.history[row]!;
  for (let s = 0; s < args.lengths[row]!; s++) {
    const page = pages[Math.floor(s / pageTokens)]!;
    const slot = s % pageTokens;
    for (let head = 0; head < kv_heads; head++) {
      for (let d = 0; d < head_size; d++) {
        const at = (s * 2 * kv_heads + head) * head_size + d;
        page[places.key(head, slot, d)] = history[at]!;
        page[places.value(head, slot, d)] = history[at + kv_heads * head_size]!;
      }
      for (let d = head_size; d < places.width; d++) page[places.value(head, slot, d)] = 0;
    }
  }
  return pages;
}

interface Shape {
  heads: number;
  kvHeads: number;
  headSize: number;
  lengths: number[];
}

const shapes: Shape[] = [
  { heads: 1, kvHeads: 1, headSize: 8, lengths: [1] },
  { heads: 4, kvHeads: 2, headSize: 12, lengths: [63, 1, 64, 65, 129] },
  { heads: 2, kvHeads: 1, headSize: 72, lengths: [200, 17] },
  { heads: 3, kvHeads: 3, headSize: 32, lengths: [5, 66, 128] },
  // A row that pads the batch has no keys.
  { heads: 6, kvHeads: 2, headSize: 24, lengths: [300, 256, 0, 513] },
];

const decodeCases = shapes.map(({ heads, kvHeads, headSize, lengths }) => {
  const stride = (heads + 2 * kvHeads) * headSize;
  return conformance<Decode>({
    op: "attention_decode",
    title: JSON.stringify({ heads, kvHeads, headSize, lengths }),
    args: (random) => ({
      // Only the query heads are read.
      qkv: normals(random, lengths.length * stride).map((x, i) =>
        i % stride < heads * headSize ? x : Number.NaN,
      ),
      history: lengths.map((length) => normals(random, length * 2 * kvHeads * headSize)),
      lengths: Int32Array.from(lengths),
      out: unwritten(lengths.length * heads * headSize),
      rows: lengths.length,
      layer_offset: 32,
      heads,
      kv_heads: kvHeads,
      head_size: headSize,
      scale: Math.fround(1 / Math.sqrt(headSize)),
    }),
    bind: ({ history, ...args }, backend) => {
      const max_pages = Math.ceil(Math.max(...args.lengths) / pageTokens) + 1;
      const unused = new Float32Array(1);
      const pages = history.flatMap((_, row) => {
        const used = pagesOf({ history, ...args }, row, backend);
        return [...used, ...new Array<Float32Array>(max_pages - used.length).fill(unused)];
      });
      return { ...args, pages, max_pages };
    },
    reference: attend,
    outputs: { out: "forward" },
    stored: ["qkv", "history", "pages", "out"],
    equivalents: (args) =>
      lengths.map((length, row) => ({
        title: `row ${row} alone`,
        args: {
          ...args,
          qkv: args.qkv.slice(row * stride, (row + 1) * stride),
          history: [args.history[row]!],
          lengths: Int32Array.of(length),
          rows: 1,
        },
        regions: rowsOf(row, 1, { out: heads * headSize }),
      })),
  });
});

/** `storage` is all pages one after the other; row n goes to slot slots[n] of page pageOf[n], or pads the batch where that is -1. */
type Write = KvLayout & {
  qkv: Floats;
  storage: Float32Array;
  pageOf: Int32Array;
  slots: Int32Array;
  rows: number;
  heads: number;
  packs: Backend["packs"];
};

const writeShapes = [
  { rows: 1, heads: 1, kvHeads: 1, headSize: 8 },
  { rows: 50, heads: 4, kvHeads: 2, headSize: 12 },
  { rows: 70, heads: 2, kvHeads: 2, headSize: 32 },
];

const writeCases = writeShapes.map(({ rows, heads, kvHeads, headSize }) =>
  conformance<Write>({
    op: "kv_write",
    title: `${rows} rows of ${kvHeads} heads of ${headSize}`,
    args: (random, { packs }) => {
      const layout = { layer_offset: 48, kv_heads: kvHeads, head_size: headSize };
      const pageCount = Math.ceil(rows / pageTokens) + 1;
      return {
        qkv: normals(random, rows * (heads + 2 * kvHeads) * headSize),
        storage: normals(random, pageCount * pageSize(layout)),
        // Rows of several sequences: neighbouring rows go to different pages, none to the same place.
        pageOf: Int32Array.from({ length: rows }, (_, n) => (n % 16 === 15 ? -1 : n % pageCount)),
        slots: Int32Array.from({ length: rows }, (_, n) => pageTokens - 1 - Math.floor(n / pageCount)),
        rows,
        heads,
        ...layout,
        packs,
      };
    },
    bind: ({ storage, pageOf, packs, ...args }) => {
      const size = pageSize(args);
      const pageAt = (page: number) => (page < 0 ? null : storage.subarray(page * size, (page + 1) * size));
      return { ...args, pages: Array.from(pageOf, pageAt) };
    },
    reference: (args) => {
      const storage = args.storage.slice();
      const places = placesIn(args, args);
      for (let n = 0; n < rows; n++) {
        if (args.pageOf[n]! < 0) continue;
        const page = storage.subarray(args.pageOf[n]! * pageSize(args));
        const key = (n * (heads + 2 * kvHeads) + heads) * headSize;
        for (let head = 0; head < kvHeads; head++)
          for (let d = 0; d < places.width; d++) {
            const at = key + head * headSize + d;
            if (d < headSize) page[places.key(head, args.slots[n]!, d)] = args.qkv[at]!;
            page[places.value(head, args.slots[n]!, d)] =
              d < headSize ? args.qkv[at + kvHeads * headSize]! : 0;
          }
      }
      return { storage };
    },
    outputs: { storage: "exact" },
    stored: ["qkv", "storage"],
  }),
);

export const attentionDecodeCases: Conformance[] = [...decodeCases, ...writeCases];
