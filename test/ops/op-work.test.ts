import { describe, expect, test } from "vitest";
import { type OpArguments, opWork } from "./native-ops.js";

const floats = new Float32Array(1);

describe("a matrix product", () => {
  const product: OpArguments = {
    a: floats,
    a_row_stride: 5,
    a_column_stride: 1,
    b: floats,
    b_row_stride: 4,
    b_column_stride: 1,
    packed_b: null,
    c: floats,
    c_row_stride: 4,
    bias: null,
    addend: null,
    addend_row_stride: 0,
    m: 3,
    n: 4,
    k: 5,
    alpha: 1,
    accumulate: false,
    precision: "fp32",
  };

  test("takes 2 M N K FLOPs and moves each matrix once", () => {
    expect(opWork("matmul", product)).toEqual({
      flops: 120,
      bf16Flops: 0,
      bytes: 4 * (15 + 20 + 12),
      shape: [3, 4, 5],
    });
  });

  test("reads the result that it adds to, the bias and the addend", () => {
    expect(opWork("matmul", { ...product, accumulate: true }).bytes).toBe(4 * (15 + 20 + 12 + 12));
    expect(opWork("matmul", { ...product, bias: floats, addend: floats }).bytes).toBe(
      4 * (15 + 20 + 12 + 4 + 12),
    );
  });

  test("of bf16 numbers has its own peak, and packed operands of half the size", () => {
    expect(opWork("matmul", { ...product, precision: "bf16" })).toEqual({
      flops: 0,
      bf16Flops: 120,
      bytes: 4 * (15 + 20 + 12),
      shape: [3, 4, 5],
    });
    const packed: OpArguments = { ...product, b: null, packed_b: floats };
    expect(opWork("matmul", packed).bytes).toBe(4 * (15 + 20 + 12));
    expect(opWork("matmul", { ...packed, precision: "bf16" }).bytes).toBe(4 * (15 + 10 + 12));
    const pack = { b: floats, b_row_stride: 4, b_column_stride: 1, packed: floats, k: 5, n: 4 };
    expect(opWork("pack_matrix", { ...pack, precision: "bf16" }).bytes).toBe(4 * (20 + 10));
  });

  test("moves half the bytes of what is stored as bf16", () => {
    const halves = new Uint16Array(1);
    const bf16 = { ...product, precision: "bf16", a: halves, b: halves, c: halves };
    expect(opWork("matmul", bf16).bytes).toBe(2 * (15 + 20 + 12));
    expect(opWork("matmul", { ...bf16, accumulate: true }).bytes).toBe(2 * (15 + 20 + 12 + 12));
    expect(opWork("matmul", { ...bf16, c: floats, addend: floats }).bytes).toBe(
      2 * (15 + 20) + 4 * (12 + 12),
    );
    const pack = {
      b: halves,
      b_row_stride: 4,
      b_column_stride: 1,
      packed: floats,
      k: 5,
      n: 4,
      precision: "bf16",
    };
    expect(opWork("pack_matrix", pack).bytes).toBe(2 * (20 + 20));
  });

  test("fused with the log-softmax counts as a product, and three of them backwards", () => {
    const shape = { rows: 6, columns: 8, vocabulary: 10, inverse_temperature: 1, precision: "fp32" };
    const forward = {
      ...shape,
      x: floats,
      weight: null,
      packed_weight: floats,
      targets: new Int32Array(1),
      log_probs: floats,
      entropies: null,
    };
    expect(opWork("linear_log_prob", forward)).toEqual({
      flops: 960,
      bf16Flops: 0,
      bytes: 4 * (48 + 80 + 6 + 6),
      shape: [6, 10, 8],
    });
    expect(opWork("linear_log_prob", { ...forward, entropies: floats }).bytes).toBe(4 * (48 + 80 + 3 * 6));
    const backward = {
      ...shape,
      dlog_probs: floats,
      dentropies: null,
      x: floats,
      weight: null,
      packed_weight: floats,
      packed_transposed: floats,
      targets: new Int32Array(1),
      dx: floats,
      dweight: floats,
    };
    // x, dx; the weight in both layouts, its gradient read and written; targets and dlog_probs.
    expect(opWork("linear_log_prob_backward", backward)).toMatchObject({
      flops: 3 * 960,
      bytes: 4 * (2 * 48 + 4 * 80 + 2 * 6),
    });
    expect(opWork("linear_log_prob_backward", { ...backward, dweight: null })).toMatchObject({
      flops: 2 * 960,
      bytes: 4 * (2 * 48 + 2 * 80 + 2 * 6),
    });
    const halves = new Uint16Array(1);
    expect(opWork("linear_log_prob", { ...forward, x: halves }).bytes).toBe(2 * 48 + 4 * (80 + 6 + 6));
    expect(opWork("linear_log_prob_backward", { ...backward, x: halves, dx: halves }).bytes).toBe(
      2 * 2 * 48 + 4 * (4 * 80 + 2 * 6),
    );
  });

  test("over the patches of images counts the patches", () => {
    const args = {
      pixels: floats,
      weight: floats,
      bias: floats,
      class_token: null,
      position: floats,
      y: floats,
      images: 2,
      channels: 3,
      size: 8,
      patch_size: 4,
      columns: 5,
      precision: "fp32",
    };
    // 8 patches of 48 pixels; 4 positions.
    expect(opWork("patch_embed", args)).toEqual({
      flops: 2 * 8 * 48 * 5,
      bf16Flops: 0,
      bytes: 4 * (2 * 3 * 64 + 5 * 48 + 5 + 4 * 5 + 8 * 5),
      shape: [8, 5, 48],
    });
    expect(opWork("patch_embed", { ...args, weight: new Uint16Array(1) }).bytes).toBe(
      4 * (2 * 3 * 64 + 5 + 4 * 5 + 8 * 5) + 2 * 5 * 48,
    );
    // A class token in the place of the bias adds a position and a row of each image, and no product.
    expect(opWork("patch_embed", { ...args, bias: null, class_token: floats })).toEqual({
      flops: 2 * 8 * 48 * 5,
      bf16Flops: 0,
      bytes: 4 * (2 * 3 * 64 + 5 * 48 + 5 + 5 * 5 + 10 * 5),
      shape: [8, 5, 48],
    });
  });
});

describe("attention", () => {
  // Rows 0..3; rows 4..6, which continue them; rows 7..8 on their own.
  const segments = Int32Array.of(0, 4, -1, 4, 3, 0, 7, 2, -1);
  const shape = { segment_count: 3, heads: 4, kv_heads: 2, head_size: 8, scale: 1 };
  const forward: OpArguments = {
    ...shape,
    qkv: floats,
    segments,
    first_queries: null,
    out: floats,
    log_sum_exp: floats,
  };
  const backward: OpArguments = {
    ...shape,
    first_queries: null,
    dout: floats,
    qkv: floats,
    out: floats,
    log_sum_exp: floats,
    segments,
    dqkv: floats,
  };

  test("counts the keys that each row sees, those of its prefix included", () => {
    const pairs = 1 + 2 + 3 + 4 + (5 + 6 + 7) + (1 + 2);
    const [rows, q, qkv, heads] = [9, 32, 64, 4];
    expect(opWork("attention", { ...forward, causal: true })).toEqual({
      flops: 4 * 8 * heads * pairs,
      bf16Flops: 0,
      bytes: 4 * rows * (qkv + q + heads),
      shape: [9, 4, 8],
    });
    expect(opWork("attention_backward", { ...backward, causal: true })).toEqual({
      flops: 10 * 8 * heads * pairs,
      bf16Flops: 0,
      bytes: 4 * rows * (2 * qkv + 2 * q + heads),
      shape: [9, 4, 8],
    });
  });

  test("multiplies bf16 and moves half as much where elements are stored as bf16, but for the log-sums", () => {
    const half = new Uint16Array(1);
    const [rows, q, qkv, heads] = [9, 32, 64, 4];
    const stored = { ...forward, qkv: half, out: half, causal: true };
    const { flops } = opWork("attention", { ...forward, causal: true });
    expect(opWork("attention", stored)).toMatchObject({
      flops: 0,
      bf16Flops: flops,
      bytes: rows * (2 * (qkv + q) + 4 * heads),
    });
    const gradients = { ...backward, qkv: half, out: half, dout: half, dqkv: half, causal: true };
    expect(opWork("attention_backward", gradients).bytes).toBe(rows * (2 * (2 * qkv + 2 * q) + 4 * heads));
  });

  test("leaves out rows that are keys only", () => {
    const first_queries = Int32Array.of(3, 0, 2);
    const pairs = 4 + (5 + 6 + 7);
    const [rows, queries, q, kv, heads] = [9, 4, 32, 32, 4];
    expect(opWork("attention", { ...forward, first_queries, causal: true })).toMatchObject({
      flops: 4 * 8 * heads * pairs,
      bytes: 4 * (rows * kv + queries * (q + q + heads)),
    });
    expect(opWork("attention_backward", { ...backward, first_queries, causal: true })).toMatchObject({
      flops: 10 * 8 * heads * pairs,
      bytes: 4 * (rows * (2 * kv + q) + queries * (3 * q + heads)),
    });
  });

  test("counts all rows of the segment where it looks both ways", () => {
    const alone = {
      ...forward,
      segments: Int32Array.of(0, 4, -1, 4, 3, -1),
      segment_count: 2,
      causal: false,
    };
    expect(opWork("attention", alone).flops).toBe(4 * 8 * 4 * (16 + 9));
  });

  test("of new tokens reads the keys and values of each sequence once", () => {
    const args = {
      qkv: floats,
      pages: [],
      lengths: Int32Array.of(70, 5, 64),
      out: floats,
      rows: 3,
      max_pages: 2,
      layer_offset: 0,
      heads: 4,
      kv_heads: 2,
      head_size: 8,
      scale: 1,
    };
    expect(opWork("attention_decode", args)).toEqual({
      flops: 4 * 32 * 139,
      bf16Flops: 0,
      bytes: 4 * (139 * 2 * 16 + 3 * (32 + 32 + 1)),
      shape: [3, 4, 8],
    });
  });
});

describe("element-wise and row-wise ops", () => {
  test("count what dropout keeps as multiplied, and as added where it is", () => {
    const args = {
      x: floats,
      y: floats,
      keys: new Uint32Array(2),
      positions: new Int32Array(1),
      rows: 3,
      columns: 10,
      module: 0,
      rate: 0.1,
    };
    expect(opWork("dropout", { ...args, accumulate: false })).toEqual({
      flops: 30,
      bf16Flops: 0,
      bytes: 4 * (2 * 30 + 3 * 3),
      shape: [3, 10],
    });
    const halves = new Uint16Array(1);
    expect(opWork("dropout", { ...args, x: halves, y: halves, accumulate: true })).toMatchObject({
      flops: 60,
      bytes: 2 * 3 * 30 + 4 * 3 * 3,
    });
  });

  test("count image rows of an embedding as moved, not as computed", () => {
    const args = {
      table: floats,
      features: floats,
      ids: Int32Array.of(4, -1, -2, 7),
      y: floats,
      rows: 4,
      columns: 6,
      scale: 2,
    };
    expect(opWork("embed", args)).toEqual({
      flops: 2 * 6,
      bf16Flops: 0,
      bytes: 4 * (4 * 6 * 2 + 4),
      shape: [4, 6],
    });
    const backward = {
      dy: floats,
      ids: args.ids,
      dtable: floats,
      dfeatures: null,
      rows: 4,
      columns: 6,
      scale: 2,
    };
    expect(opWork("embed_backward", backward)).toMatchObject({ flops: 24, bytes: 4 * (2 * 6 * 3 + 4) });
  });

  test("count what frozen parameters save", () => {
    const args = {
      dy: floats,
      x: floats,
      weight: floats,
      rstd: floats,
      dx: floats,
      dweight: floats,
      rows: 3,
      columns: 10,
    };
    // dy, x, and dx twice; rstd; the weight, and its gradient twice.
    expect(opWork("rms_norm_backward", args)).toMatchObject({ flops: 300, bytes: 4 * (4 * 30 + 3 + 30) });
    expect(opWork("rms_norm_backward", { ...args, dweight: null })).toMatchObject({
      flops: 240,
      bytes: 4 * (4 * 30 + 3 + 10),
    });
  });

  test("move half as much of what is stored as bf16", () => {
    const halves = new Uint16Array(1);
    const norm = { x: floats, weight: floats, y: halves, rstd: floats, rows: 3, columns: 10, epsilon: 1 };
    expect(opWork("rms_norm", norm).bytes).toBe(4 * (30 + 3 + 10) + 2 * 30);
    expect(opWork("swiglu", { gate_up: halves, y: halves, rows: 3, width: 5 })).toMatchObject({
      flops: 60,
      bytes: 2 * 45,
    });
    expect(opWork("add", { x: halves, y: halves, count: 7 })).toMatchObject({ flops: 7, bytes: 2 * 21 });
    expect(opWork("sum_rows", { x: halves, sums: floats, rows: 4, columns: 6 }).bytes).toBe(2 * 24 + 4 * 12);
    const embedding = {
      ids: Int32Array.of(4, -1, -2, 7),
      y: floats,
      rows: 4,
      columns: 6,
      scale: 2,
    };
    expect(opWork("embed", { ...embedding, table: floats, features: halves }).bytes).toBe(
      4 * (2 * 6 + 4 * 6 + 4) + 2 * (2 * 6),
    );
  });

  test("count eight arrays of an optimizer step", () => {
    const two = [floats, floats];
    const args = {
      parameters: two,
      gradients: two,
      first_moments: two,
      second_moments: two,
      counts: BigInt64Array.of(70n, 30n),
      bias_corrections1: floats,
      bias_corrections2: floats,
      squares: null,
      tensors: 2,
      groups: 1,
      group: 0,
      max_norm: 1,
      learning_rate: 1,
      beta1: 0.9,
      beta2: 0.9,
      epsilon: 1,
      weight_decay: 0,
    };
    expect(opWork("adamw", args)).toEqual({ flops: 1700, bf16Flops: 0, bytes: 3200, shape: [100] });
    const sum = { x: two, counts: args.counts, total: null, tensors: 2 };
    expect(opWork("sum_squares", sum)).toEqual({ flops: 200, bf16Flops: 0, bytes: 400, shape: [100] });
  });
});
