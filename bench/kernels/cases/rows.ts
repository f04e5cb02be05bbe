/** Ops that walk rows once: norms, the embedding with image features, rows gathered and added, dropout, sampling. */
import type { Precision } from "../../../src/native/types.js";
import { source, tokens as tokenIds } from "../../random-inputs.js";
import { type CaseList, floats, type KernelCase, kernelCase, numbers, zeros } from "../kernel-case.js";
import { rowsOf, type Scale } from "../scales.js";

/** Positive and not all alike, as inverse standard deviations of rows are. */
const deviations = (rows: number) => floats(rows, 21).map((x) => 1.5 + x / 2);

function rmsNormCases(scale: Scale, precision: Precision): KernelCase[] {
  const rows = rowsOf(scale);
  const { width: columns } = scale.decoder;
  const inputs = () => ({ x: floats(rows * columns, 1), weight: floats(columns, 2), rows, columns });
  const options = { scale, precision, sizes: [rows, columns], terms: columns };
  const frozen = scale.frozen;
  return [
    kernelCase("rms_norm", options, {
      arguments: () => ({
        ...inputs(),
        ...{ y: zeros(precision, rows * columns), rstd: new Float32Array(rows), epsilon: 1e-5 },
      }),
      results: { y: "forward", rstd: "forward" },
    }),
    kernelCase(
      "rms_norm_backward",
      { ...options, terms: Math.max(rows, columns) },
      {
        arguments: () => ({
          ...inputs(),
          ...{ dy: numbers(precision, rows * columns, 3), rstd: deviations(rows) },
          ...{ dx: floats(rows * columns, 4), dweight: frozen ? null : new Float32Array(columns) },
        }),
        results: frozen ? { dx: "gradient" } : { dx: "gradient", dweight: "gradient" },
      },
    ),
  ];
}

function layerNormCases(scale: Scale, precision: Precision): KernelCase[] {
  const { images, tokens, width: columns } = scale.vision;
  const rows = images * tokens;
  const inputs = () => ({ x: floats(rows * columns, 1), weight: floats(columns, 2), rows, columns });
  const options = { scale, precision, sizes: [rows, columns], terms: columns };
  return [
    kernelCase("layer_norm", options, {
      arguments: () => ({
        ...inputs(),
        ...{ bias: floats(columns, 3), y: zeros(precision, rows * columns) },
        ...{ mean: new Float32Array(rows), rstd: new Float32Array(rows), epsilon: 1e-5 },
      }),
      results: { y: "forward", rstd: "forward" },
    }),
    kernelCase(
      "layer_norm_backward",
      { ...options, terms: Math.max(rows, columns) },
      {
        arguments: () => ({
          ...inputs(),
          ...{ dy: numbers(precision, rows * columns, 3), mean: floats(rows, 5), rstd: deviations(rows) },
          ...{ dx: floats(rows * columns, 4) },
          ...{ dweight: new Float32Array(columns), dbias: new Float32Array(columns) },
        }),
        results: { dx: "gradient", dweight: "gradient", dbias: "gradient" },
      },
    ),
  ];
}

/** The rows of a batch: image features at the start of each sequence, tokens behind them. */
function ids({ sequences, tokens, imageTokens, decoder }: Scale): Int32Array {
  const drawn = tokenIds(source(13), sequences * tokens, decoder.vocabulary);
  return drawn.map((id, row) => {
    const [sequence, position] = [Math.floor(row / tokens), row % tokens];
    return position < imageTokens ? -1 - (sequence * imageTokens + position) : id;
  });
}

function embedCases(scale: Scale, precision: Precision): KernelCase[] {
  const rows = rowsOf(scale);
  const { width: columns, vocabulary } = scale.decoder;
  const features = scale.sequences * scale.imageTokens * columns;
  const common = () => ({ ids: ids(scale), rows, columns, scale: 1 });
  const options = { scale, precision, sizes: [rows, columns] };
  return [
    kernelCase("embed", options, {
      arguments: () => ({
        ...common(),
        ...{ table: numbers(precision, vocabulary * columns, 1), features: numbers(precision, features, 2) },
        y: new Float32Array(rows * columns),
      }),
      results: { y: "exact" },
    }),
    kernelCase(
      "embed_backward",
      { ...options, terms: rows },
      {
        arguments: () => ({
          ...{ ...common(), dy: floats(rows * columns, 3) },
          dtable: scale.frozen ? null : new Float32Array(vocabulary * columns),
          dfeatures: zeros(precision, features),
        }),
        results: scale.frozen ? { dfeatures: "gradient" } : { dfeatures: "gradient", dtable: "gradient" },
      },
    ),
  ];
}

/** The rows whose log-probs are wanted, out of a batch and back into it; the gradient of a bias. */
function movedRowCases(scale: Scale, precision: Precision): KernelCase[] {
  const { sequences, tokens, responseTokens } = scale;
  const columns = scale.decoder.width;
  const rows = rowsOf(scale);
  const count = sequences * responseTokens;
  const indices = () =>
    Int32Array.from(
      { length: count },
      (_, i) => (Math.floor(i / responseTokens) + 1) * tokens - responseTokens + (i % responseTokens),
    );
  const options = { scale, precision, sizes: [count, columns] };
  return [
    kernelCase("gather_rows", options, {
      arguments: () => ({
        ...{ x: numbers(precision, rows * columns, 1), indices: indices() },
        ...{ y: zeros(precision, count * columns), count, columns },
      }),
      results: { y: "exact" },
    }),
    kernelCase("scatter_add_rows", options, {
      arguments: () => ({
        ...{ x: numbers(precision, count * columns, 1), indices: indices() },
        ...{ y: numbers(precision, rows * columns, 2), count, columns, scale: 1 },
      }),
      results: { y: "gradient" },
    }),
    kernelCase(
      "sum_rows",
      { scale, precision, sizes: [rows, columns], terms: rows },
      {
        arguments: () => ({
          ...{ x: numbers(precision, rows * columns, 1), sums: new Float32Array(columns), rows, columns },
        }),
        results: { sums: "gradient" },
      },
    ),
  ];
}

/** On the way into the widest adapter of a layer, and its gradient on the way back to what others have added. */
function dropoutCases(scale: Scale, precision: Precision): KernelCase[] {
  const rows = rowsOf(scale);
  const columns = scale.decoder.mlpWidth;
  return [false, true].map((accumulate) =>
    kernelCase(
      "dropout",
      { scale, precision, sizes: [rows, columns], what: accumulate ? "backward" : "forward" },
      {
        arguments: () => ({
          x: numbers(precision, rows * columns, 1),
          y: accumulate ? numbers(precision, rows * columns, 2) : zeros(precision, rows * columns),
          keys: Uint32Array.from({ length: 2 * rows }, (_, i) => i),
          positions: Int32Array.from({ length: rows }, (_, row) => row % scale.tokens),
          ...{ rows, columns, module: 6, rate: 0.05, accumulate },
        }),
        results: { y: accumulate ? "gradient" : "forward" },
      },
    ),
  );
}

export const rowCases: CaseList = (scale, precision) => [
  ...rmsNormCases(scale, precision),
  ...layerNormCases(scale, precision),
  ...embedCases(scale, precision),
  ...movedRowCases(scale, precision),
  ...dropoutCases(scale, precision),
];

function sampleCase(scale: Scale, rows: number): KernelCase {
  const { vocabulary } = scale.decoder;
  return kernelCase(
    "sample",
    { scale, precision: "fp32", sizes: [rows, vocabulary] },
    {
      arguments: () => ({
        logits: floats(rows * vocabulary, 1, 8),
        temperatures: new Float32Array(rows).fill(1),
        ...{ top_k: new Int32Array(rows), top_p: new Float32Array(rows).fill(1) },
        keys: Uint32Array.from({ length: 2 * rows }, (_, i) => i),
        steps: Int32Array.from({ length: rows }, (_, row) => row),
        ...{ tokens: new Int32Array(rows), log_probs: new Float32Array(rows), rows, vocabulary },
      }),
      results: { tokens: "draws" },
    },
  );
}

/** Sampling reads logits, which are fp32 whatever the model computes in. */
export const sampleCases = (scale: Scale): KernelCase[] =>
  scale.decodeBatches.map((rows) => sampleCase(scale, rows));
