/** Ops around products, and on logits. */
import { deriveKey, Random } from "../../../src/random.js";
import { normals } from "../../ops/inputs.js";
import {
  clip,
  floats,
  half,
  halves,
  integers,
  type KernelTraffic,
  mistral,
  type TrafficCase,
  word,
} from "./case.js";

const { vocabulary } = mistral;

function products(): TrafficCase[] {
  const [m, n, k] = [64, 4096, 1024];
  const product = {
    a_row_stride: k,
    a_column_stride: 1,
    b_row_stride: 1,
    b_column_stride: k,
    packed_b: null,
    c_row_stride: n,
    addend: null,
    addend_row_stride: 0,
    n,
    k,
    alpha: 1,
    accumulate: false,
    precision: "bf16",
  };
  const transposed = {
    b_row_stride: 1,
    b_column_stride: k,
    packed: halves(k * k),
    k,
    n: k,
    precision: "bf16",
  };
  const rows = 16;
  return [
    {
      op: "matmul",
      title: "64 x 4096 x 1024 of fp32 rows, with a bias, to bf16",
      args: { ...product, m, a: floats(m * k), b: halves(n * k), c: halves(m * n), bias: floats(n) },
      multiplies: true,
      kernels: {
        matmul_convert_kernel: { once: { a: m * k * (word + half) } },
        matmul_finish_kernel: {
          once: { product: m * n * word, c: m * n * half, bias: n * word },
          again: { "the bias of every row but one": (m - 1) * n * word },
        },
      },
    },
    ...[rows, rows / 2].map(
      (rows): TrafficCase => ({
        op: "matmul",
        title: `${rows} x 4096 x 1024 in bf16`,
        args: {
          ...product,
          m: rows,
          a: halves(rows * k),
          b: halves(n * k),
          c: halves(rows * n),
          bias: floats(n),
        },
        kernels: {
          matmul_skinny_kernel: {
            once: { a: rows * k * half, b: n * k * half, c: rows * n * half, bias: n * word },
            again: {
              "a, for every 64 columns but the first": (n / 64 - 1) * rows * k * half,
              "the bias of every row but one": (rows - 1) * n * word,
            },
          },
        },
      }),
    ),
    {
      op: "pack_matrix",
      title: "1024 x 4096 by rows, to bf16",
      args: {
        b: floats(k * n),
        b_row_stride: n,
        b_column_stride: 1,
        packed: halves(k * n),
        k,
        n,
        precision: "bf16",
      },
      kernels: { pack_matrix_rows_kernel: { once: { b: k * n * word, packed: k * n * half } } },
    },
    {
      op: "pack_matrix",
      title: "1024 x 1024 transposed, to bf16",
      args: { ...transposed, b: floats(k * k) },
      kernels: { pack_matrix_transpose_kernel: { once: { b: k * k * word, packed: k * k * half } } },
    },
    {
      op: "pack_matrix",
      title: "1024 x 1024 of bf16 transposed",
      args: { ...transposed, b: halves(k * k) },
      kernels: { pack_matrix_transpose_kernel: { once: { b: k * k * half, packed: k * k * half } } },
    },
  ];
}

function patches(): TrafficCase[] {
  return [
    {
      title: "CLIP's, 336 x 336 in patches of 14 behind a class token",
      classTokens: 1,
      size: 336,
      patch_size: 14,
      columns: clip.hidden,
    },
    {
      title: "the shipped model's, 96 x 96 in patches of 12",
      classTokens: 0,
      size: 96,
      patch_size: 12,
      columns: 128,
    },
  ].flatMap(({ title, classTokens, size, patch_size, columns }): TrafficCase[] => {
    const [channels, images] = [3, 2];
    const perImage = classTokens + (size / patch_size) ** 2;
    const rows = images * perImage;
    const pixels = images * channels * size ** 2;
    const sizes = { images, channels, size, patch_size, columns, precision: "bf16" };
    const zeros = classTokens * images * channels * patch_size ** 2;
    const patches: KernelTraffic = {
      once: { pixels: pixels * word },
      again: { patches: (pixels + zeros) * half },
    };
    const position = perImage * columns * word;
    return [
      {
        op: "patch_embed",
        title,
        multiplies: true,
        args: {
          pixels: floats(pixels),
          weight: halves(columns * channels * patch_size ** 2),
          bias: classTokens ? null : floats(columns),
          class_token: classTokens ? floats(columns) : null,
          position: floats(perImage * columns),
          y: floats(rows * columns),
          ...sizes,
        },
        kernels: {
          patch_embed_patches_kernel: patches,
          patch_embed_positions_kernel: {
            once: { y: rows * columns * word, position, "class token or bias": columns * word },
            again: {
              "the positions of every image but one": (images - 1) * position,
              "the class token or bias of every row but one":
                ((classTokens ? images : rows) - 1) * columns * word,
            },
          },
        },
      },
    ];
  });
}

function logProbs(): TrafficCase[] {
  const [rows, columns] = [16, 64];
  const logits = rows * vocabulary * word;
  const common = {
    x: halves(rows * columns),
    weight: halves(vocabulary * columns),
    packed_weight: null,
    targets: integers(rows, (i) => i),
    rows,
    columns,
    vocabulary,
    inverse_temperature: 1,
    precision: "bf16",
  };
  const ends = { "targets and results, 32 bytes each": rows * 3 * 32 };
  return [
    {
      op: "linear_log_prob",
      title: "16 rows over 32000 tokens, with entropies",
      args: { ...common, log_probs: floats(rows), entropies: floats(rows) },
      multiplies: true,
      kernels: { linear_log_prob_rows_kernel: { once: { logits }, again: ends } },
    },
    {
      op: "linear_log_prob_backward",
      title: "16 rows over 32000 tokens, with entropies",
      args: {
        ...common,
        packed_transposed: null,
        dlog_probs: floats(rows),
        dentropies: floats(rows),
        dx: halves(rows * columns),
        dweight: floats(vocabulary * columns),
      },
      multiplies: true,
      kernels: {
        linear_log_prob_backward_rows_kernel: {
          once: { logits, dlogits: rows * vocabulary * half },
          again: { "the logits, from L2": logits, ...ends },
        },
      },
    },
    {
      op: "sample",
      title: "4 rows of 32000 tokens",
      args: {
        logits: normals(new Random(deriveKey(11)), 4 * vocabulary),
        temperatures: floats(4),
        top_k: new Int32Array(4),
        top_p: floats(4).fill(1),
        keys: new Uint32Array(8),
        steps: new Int32Array(4),
        tokens: new Int32Array(4),
        log_probs: floats(4),
        rows: 4,
        vocabulary,
      },
      kernels: {
        sample_row_kernel: {
          once: { logits: 4 * vocabulary * word, settings: 4 * 8 * word },
          again: {
            "the logits, to be summed in order": 4 * vocabulary * word,
            "and where the draw falls": (4 * vocabulary * word) / 32,
          },
        },
      },
    },
  ];
}

export const productCases: readonly TrafficCase[] = [...products(), ...patches(), ...logProbs()];
