/** Products of matrices: of training, of decoding, of adapters, of patches, and the head with its log-probs. */
import type { Precision } from "../../../src/native/types.js";
import { source, tokens } from "../../random-inputs.js";
import type { OpArguments } from "../../testing-addon.js";
import {
  type CaseList,
  type Comparison,
  floats,
  type KernelCase,
  kernelCase,
  type Numbers,
  numbers,
  zeros,
} from "../kernel-case.js";
import { rowsOf, type Scale } from "../scales.js";

interface Product {
  readonly what: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Whether A, B are stored transposed: a weight (N, K) is the B of a forward pass transposed. */
  readonly aTransposed?: boolean;
  readonly bTransposed?: boolean;
  /** Added to fp32, as gradients of weights are; otherwise C is stored as the operands are. */
  readonly accumulate?: boolean;
  /** C is fp32 and overwritten: logits, and what goes into the residual stream. */
  readonly fp32Result?: boolean;
  readonly compared?: boolean;
}

function productArguments(p: Product, precision: Precision): OpArguments {
  const { m, n, k, accumulate = false } = p;
  return {
    a: numbers(precision, m * k, 1),
    ...(p.aTransposed ? { a_row_stride: 1, a_column_stride: m } : { a_row_stride: k, a_column_stride: 1 }),
    b: numbers(precision, k * n, 2),
    ...(p.bTransposed ? { b_row_stride: 1, b_column_stride: k } : { b_row_stride: n, b_column_stride: 1 }),
    ...{ packed_b: null, bias: null, addend: null, addend_row_stride: 0 },
    c: zeros(accumulate || p.fp32Result ? "fp32" : precision, m * n),
    c_row_stride: n,
    ...{ m, n, k, alpha: 1, accumulate, precision },
  };
}

const cublaslt = (args: OpArguments): Comparison => ({ peer: "cuBLASLt", args });

const productCase = (scale: Scale, precision: Precision, p: Product): KernelCase =>
  kernelCase(
    "matmul",
    { scale, precision, what: p.what, sizes: [p.m, p.n, p.k], terms: p.k },
    {
      arguments: () => productArguments(p, precision),
      results: { c: p.accumulate ? "gradient" : "forward" },
      ...(p.compared && { comparison: cublaslt }),
    },
  );

/** The decoder's matrices: outputs, inputs. */
function weights({ decoder }: Scale) {
  const { width, heads, kvHeads, headSize, mlpWidth } = decoder;
  return [
    ["qkv", (heads + 2 * kvHeads) * headSize, width],
    ["attention-out", width, heads * headSize],
    ["gate-up", 2 * mlpWidth, width],
    ["down", width, mlpWidth],
  ] as const;
}

/** Forward, the gradient of the input, and the two products of an adapter with their gradients. */
function trainingProducts(scale: Scale): Product[] {
  const m = rowsOf(scale);
  const { rank, decoder } = scale;
  const wide = 2 * decoder.mlpWidth;
  return [
    ...weights(scale).map(([what, n, k]): Product => ({ what, m, n, k, bTransposed: true })),
    ...weights(scale).map(([what, n, k]): Product => ({ what: `${what}-backward`, m, n: k, k: n })),
    { what: "adapter-in", m, n: rank, k: decoder.width, bTransposed: true },
    { what: "adapter-out", m, n: wide, k: rank, bTransposed: true },
    { what: "adapter-out-weight-gradient", m: wide, n: rank, k: m, aTransposed: true, accumulate: true },
    {
      what: "adapter-in-weight-gradient",
      m: rank,
      n: decoder.width,
      k: m,
      aTransposed: true,
      accumulate: true,
    },
  ];
}

/** One row per sequence that is being decoded. */
const decodingProducts = (scale: Scale): Product[] =>
  scale.decodeBatches.flatMap((m) => [
    ...weights(scale).map(
      ([what, n, k]): Product => ({ what: `decode-${what}`, m, n, k, bTransposed: true, compared: true }),
    ),
    {
      ...{ what: "decode-head", m, n: scale.decoder.vocabulary, k: scale.decoder.width },
      ...{ bTransposed: true, fp32Result: true, compared: true },
    },
  ]);

/** The transpose of a weight (N, K), as the backward pass of a CPU would want it. */
function packCase(scale: Scale, precision: Precision): KernelCase {
  const [n, k] = [scale.decoder.width, scale.decoder.width];
  return kernelCase(
    "pack_matrix",
    { scale, precision, sizes: [k, n] },
    {
      arguments: ({ packedSize }) => ({
        b: numbers(precision, k * n, 2),
        b_row_stride: 1,
        b_column_stride: k,
        // Room for fp32 in any case, since that is checked too.
        packed: new Float32Array(packedSize("fp32", k, n)),
        ...{ k, n, precision },
      }),
      // The GPU's packed matrix is the matrix itself; the CPU's panels are not looked into.
      results: (args, { transposesKeys }) => {
        const b = args.b as Numbers;
        const { buffer } = args.packed as Float32Array;
        const values = transposesKeys
          ? transposed(b, n, k)
          : precision === "bf16"
            ? new Uint16Array(buffer, 0, k * n)
            : new Float32Array(buffer, 0, k * n);
        return [{ name: "packed", values, judgement: "exact" }];
      },
    },
  );
}

/** A matrix (rows, columns) as (columns, rows). */
function transposed(matrix: Numbers, rows: number, columns: number): Numbers {
  const result = matrix.slice();
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) result[c * rows + r] = matrix[r * columns + c]!;
  return result;
}

function patchCases(scale: Scale, precision: Precision): KernelCase[] {
  const { images, channels, imageSize: size, patchSize, width: columns } = scale.vision;
  const patches = (size / patchSize) ** 2;
  const [rows, elements] = [images * patches, channels * patchSize ** 2];
  const common = { images, channels, size, patch_size: patchSize, columns, precision };
  const pixels = () => floats(images * channels * size ** 2, 1);
  const options = { scale, precision, sizes: [rows, columns, elements] };
  return [
    kernelCase(
      "patch_embed",
      { ...options, terms: elements },
      {
        arguments: () => ({
          pixels: pixels(),
          weight: numbers(precision, columns * elements, 2),
          ...{ bias: floats(columns, 3), class_token: null, position: floats(patches * columns, 4) },
          y: new Float32Array(rows * columns),
          ...common,
        }),
        results: { y: "forward" },
      },
    ),
    kernelCase(
      "patch_embed_backward",
      { ...options, terms: rows },
      {
        arguments: () => ({
          ...{ dy: floats(rows * columns, 5), pixels: pixels() },
          ...{
            dweight: new Float32Array(columns * elements),
            dbias: new Float32Array(columns),
            dclass_token: null,
          },
          dposition: new Float32Array(patches * columns),
          ...common,
        }),
        results: { dweight: "gradient", dbias: "gradient", dposition: "gradient" },
      },
    ),
  ];
}

/** The head at the responses' tokens. */
function logProbCases(scale: Scale, precision: Precision): KernelCase[] {
  const { sequences, responseTokens, decoder, frozen } = scale;
  const { width: columns, vocabulary } = decoder;
  const rows = sequences * responseTokens;
  const inputs = () => ({
    x: numbers(precision, rows * columns, 1),
    // Logits of a few units, as those of a trained model.
    weight: numbers(precision, vocabulary * columns, 2, 4 / Math.sqrt(columns)),
    packed_weight: null,
    targets: tokens(source(12), rows, vocabulary),
    ...{ rows, columns, vocabulary, inverse_temperature: 1, precision },
  });
  const options = { scale, precision, sizes: [rows, vocabulary, columns] };
  return [
    kernelCase(
      "linear_log_prob",
      { ...options, terms: columns },
      {
        arguments: () => ({
          ...inputs(),
          ...{ log_probs: new Float32Array(rows), entropies: new Float32Array(rows) },
        }),
        results: { log_probs: "forward", entropies: "forward" },
        comparison: ({ x, weight }) => ({
          peer: "cuBLASLt, the product alone",
          args: {
            ...productArguments(
              { what: "", m: 1, n: 1, k: 1, bTransposed: true, fp32Result: true },
              precision,
            ),
            ...{ a: x!, a_row_stride: columns, b: weight!, b_column_stride: columns },
            ...{ c: new Float32Array(rows * vocabulary), c_row_stride: vocabulary },
            ...{ m: rows, n: vocabulary, k: columns },
          },
        }),
      },
    ),
    kernelCase(
      "linear_log_prob_backward",
      { ...options, terms: vocabulary },
      {
        arguments: () => ({
          ...inputs(),
          packed_transposed: null,
          ...{ dlog_probs: floats(rows, 3), dentropies: floats(rows, 4) },
          dx: zeros(precision, rows * columns),
          dweight: frozen ? null : new Float32Array(vocabulary * columns),
        }),
        results: frozen ? { dx: "gradient" } : { dx: "gradient", dweight: "gradient" },
      },
    ),
  ];
}

export const productCases: CaseList = (scale, precision) => [
  ...[...trainingProducts(scale), ...decodingProducts(scale)].map((p) => productCase(scale, precision, p)),
  packCase(scale, precision),
  ...patchCases(scale, precision),
  ...logProbCases(scale, precision),
];
