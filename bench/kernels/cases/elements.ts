/** Ops that take elements one by one: activations, sums, the optimizer. */
import type { Precision } from "../../../src/native/types.js";
import { type CaseList, floats, type KernelCase, kernelCase, numbers, zeros } from "../kernel-case.js";
import { rowsOf, type Scale } from "../scales.js";

/** An activation of `count` elements and its gradient. @param kept the argument of the backward pass beside dy */
function activationCases(
  op: "gelu" | "relu",
  scale: Scale,
  precision: Precision,
  count: number,
  kept: "x" | "y",
): KernelCase[] {
  const options = { scale, precision, sizes: [count] };
  const kind = op === "gelu" ? { kind: "gelu_tanh" } : {};
  return [
    kernelCase(op, options, {
      arguments: () => ({ x: numbers(precision, count, 1, 3), y: zeros(precision, count), count, ...kind }),
      results: { y: "forward" },
    }),
    kernelCase(`${op}_backward`, options, {
      arguments: () => ({
        ...{ dy: numbers(precision, count, 2), [kept]: numbers(precision, count, 1, 3) },
        ...{ dx: zeros(precision, count), count, ...kind },
      }),
      results: { dx: "gradient" },
    }),
  ];
}

function swigluCases(scale: Scale, precision: Precision): KernelCase[] {
  const rows = rowsOf(scale);
  const width = scale.decoder.mlpWidth;
  const options = { scale, precision, sizes: [rows, width] };
  const gateUp = () => numbers(precision, 2 * rows * width, 1, 3);
  return [
    kernelCase("swiglu", options, {
      arguments: () => ({ gate_up: gateUp(), y: zeros(precision, rows * width), rows, width }),
      results: { y: "forward" },
    }),
    kernelCase("swiglu_backward", options, {
      arguments: () => ({
        ...{ dy: numbers(precision, rows * width, 2), gate_up: gateUp() },
        ...{ dgate_up: zeros(precision, 2 * rows * width), rows, width },
      }),
      results: { dgate_up: "gradient" },
    }),
  ];
}

export const elementCases: CaseList = (scale, precision) => {
  const { vision, decoder } = scale;
  const elements = rowsOf(scale) * decoder.width;
  return [
    ...activationCases("gelu", scale, precision, vision.images * vision.tokens * vision.mlpWidth, "x"),
    ...activationCases("relu", scale, precision, scale.sequences * decoder.width, "y"),
    ...swigluCases(scale, precision),
    kernelCase(
      "add",
      { scale, precision, sizes: [elements] },
      {
        arguments: () => ({
          ...{ x: numbers(precision, elements, 1), y: numbers(precision, elements, 2), count: elements },
        }),
        results: { y: "forward" },
      },
    ),
  ];
};

/** What the optimizer does to the largest matrix of an adapter; always fp32. */
export function optimizerCases(scale: Scale): KernelCase[] {
  const count = 2 * scale.decoder.mlpWidth * scale.rank;
  const options = { scale, precision: "fp32" as const, sizes: [count] };
  const counts = () => BigInt64Array.of(BigInt(count));
  return [
    kernelCase(
      "sum_squares",
      { ...options, terms: count },
      {
        arguments: () => ({
          x: [floats(count, 1)],
          ...{ counts: counts(), total: new Float64Array(1), tensors: 1 },
        }),
        results: { total: "forward" },
      },
    ),
    kernelCase("adamw", options, {
      arguments: () => ({
        ...{ parameters: [floats(count, 1)], gradients: [floats(count, 2)], counts: counts() },
        first_moments: [floats(count, 3)],
        second_moments: [floats(count, 4).map((x) => x * x)],
        ...{ bias_corrections1: Float32Array.of(0.271), bias_corrections2: Float32Array.of(0.003) },
        // The norm is 2, so clipping at 1 halves the gradient.
        ...{ squares: Float64Array.of(4), tensors: 1, groups: 1, group: 0, max_norm: 1 },
        ...{ learning_rate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 },
      }),
      results: (args) =>
        ["parameters", "first_moments", "second_moments"].map((name) => ({
          name,
          values: (args[name] as Float32Array[])[0]!,
          judgement: "forward",
        })),
    }),
  ];
}
