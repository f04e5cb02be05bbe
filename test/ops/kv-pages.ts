import { unwritten } from "./inputs.js";
import { pageLayerSize } from "./native-ops.js";

/** Tokens in a page of the KV cache. */
export const pageTokens = 64;

/** One layer's part of the pages of a KV cache, as `native/ops/attention_decode.h` lays it out. */
export type KvLayout = {
  kv_heads: number;
  head_size: number;
  /** Elements from the start of a page to the layer's part. */
  layer_offset: number;
};

/** Elements of a page that holds this layer, and some more behind it. */
export function pageSize({ kv_heads, head_size, layer_offset }: KvLayout): number {
  return layer_offset + pageLayerSize(kv_heads, head_size) + 5;
}

/** Where a page keeps element d of the key or value of one token and head, and how far a token's value is padded. */
export function placesIn({ kv_heads, head_size, layer_offset }: KvLayout) {
  const width = Math.ceil(head_size / 16) * 16;
  const values = layer_offset + kv_heads * head_size * pageTokens;
  return {
    width,
    key: (head: number, slot: number, d: number) => layer_offset + (head * head_size + d) * pageTokens + slot,
    value: (head: number, slot: number, d: number) => values + (head * pageTokens + slot) * width + d,
  };
}

/** Fresh pages for a sequence of `tokens`. */
export function newPages(layout: KvLayout, tokens: number): Float32Array[] {
  return Array.from({ length: Math.ceil(tokens / pageTokens) }, () => unwritten(pageSize(layout)));
}
