import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { TinyVlmSpec } from "../../src/models/families/tiny-vlm.js";
import type { Precision } from "../../src/native/types.js";
import { readSafetensors } from "../golden/safetensors.js";

/**
 * The engine against an independent implementation in PyTorch (test/golden/make_tiny_vlm.py): log-probs,
 * entropies, values, and the gradient of a loss over all of them for every parameter.
 *
 * Tolerance: four times the largest error that PyTorch itself makes on the tensor in float32, against float64,
 * because another order of the same float32 sums errs by a similar amount but not by the same; and two units in
 * the last place (2^-22) of the largest element, for tensors on which PyTorch happened to be nearly exact. For
 * gradients that is the largest of all parameters: those of the vision attention's key biases are zero, since
 * softmax ignores what all scores share, and what is left of them is the rounding of terms that cancelled.
 * With bf16, PyTorch's run with rounded operands takes the place of the one in float32.
 */
interface GoldenCase {
  spec: TinyVlmSpec;
  temperature: number;
  sequences: { prompt: number[]; image: number; response: number[] }[];
  float32Errors: Record<string, number>;
  bfloat16Errors: Record<string, number>;
}

const folder = new URL("../golden/tiny-vlm/", import.meta.url);
/** The model, what it is given, and what PyTorch itself errs. */
export const golden: GoldenCase = JSON.parse(readFileSync(new URL("case.json", folder), "utf8"));
/** What PyTorch computes in float64, and the coefficients of the loss that it took the gradient of. */
export const expected = readSafetensors(new URL("expected.safetensors", folder));

export const largestMagnitude = (values: Float32Array | Float64Array) => Math.max(...values.map(Math.abs));
export const gradientNames = [...expected.keys()].filter((name) => name.startsWith("gradient."));
export const largestGradient = Math.max(
  ...gradientNames.map((name) => largestMagnitude(expected.get(name)!)),
);

const { channels, imageSize } = golden.spec.vision;
const images = [0, 1].map((index) => {
  const pixels = channels * imageSize * imageSize;
  return Float32Array.from(expected.get("images")!.subarray(index * pixels, (index + 1) * pixels));
});
export const sequences = golden.sequences.map(({ prompt, image, response }) => ({
  prompt: { tokens: Int32Array.from(prompt), images: [{ pixels: images[image]! }] },
  response: Int32Array.from(response),
}));
export const coefficients = (output: string) => Float32Array.from(expected.get(`coefficients.${output}`)!);

/** The most that an element of the tensor may err. */
export function allowedError(precision: Precision, name: string): number {
  const largest = name.startsWith("gradient.") ? largestGradient : largestMagnitude(expected.get(name)!);
  const errors = precision === "fp32" ? golden.float32Errors : golden.bfloat16Errors;
  return 4 * errors[name]! + 2 ** -22 * largest;
}

export function expectClose(precision: Precision, name: string, received: ArrayLike<number>): void {
  const reference = expected.get(name)!;
  expect(received.length, name).toBe(reference.length);
  const error = Math.max(...reference.map((value, i) => Math.abs(received[i]! - value)));
  expect(error, name).toBeLessThanOrEqual(allowedError(precision, name));
}

/** The model's weights. */
export const modelFile = fileURLToPath(new URL("model.safetensors", folder));
