import { unwritten } from "./inputs.js";
import { type Backend, pageLayerSize } from "./native-ops.js";

/** Tokens in a page of the KV cache. */
export const pageTokens = 64;

/** One layer's part of the pages of a KV cache; see `native/ops/attention_decode.h`. */
export type KvLayout = {
  kv_heads: number;
  head_size: number;
  /** Elements from the start of a page to the layer's part. */
  layer_offset: number;
};

/** Elements of a page that holds this layer, and some more behind it, which keep the alignment of what follows. */
export function pageSize({ kv_heads, head_size, layer_offset }: KvLayout): number {
  return layer_offset + pageLayerSize(kv_heads, head_size) + 16;
}

/**
 * Where a backend's page keeps element d of the key or value of one token and head, and how far a token's value is padded:
 * keys transposed and values padded for vectors, or rows as they are.
 */
export function placesIn({ kv_heads, head_size, layer_offset }: KvLayout, { packs }: Pick<Backend, "packs">) {
  const panels = packs === "panels";
  const width = panels ? Math.ceil(head_size / 16) * 16 : head_size;
  const values = layer_offset + kv_heads * head_size * pageTokens;
  const row = (head: number, slot: number) => head * pageTokens + slot;
  return {
    width,
    key: (head: number, slot: number, d: number) =>
      layer_offset + (panels ? (head * head_size + d) * pageTokens + slot : row(head, slot) * head_size + d),
    value: (head: number, slot: number, d: number) => values + row(head, slot) * width + d,
  };
}

/** Fresh pages for a sequence of `tokens`. */
export function newPages(layout: KvLayout, tokens: number): Float32Array[] {
  return Array.from({ length: Math.ceil(tokens / pageTokens) }, () => unwritten(pageSize(layout)));
}
