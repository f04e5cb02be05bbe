import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { ForwardResult, ModelSpec, Precision } from "../../src/native/types.js";
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
  spec: ModelSpec;
  temperature: number;
  sequences: { prompt: number[]; image: number; response: number[] }[];
  float32Errors: Record<string, number>;
  bfloat16Errors: Record<string, number>;
}

const folder = new URL("../golden/tiny-vlm/", import.meta.url);
const golden: GoldenCase = JSON.parse(readFileSync(new URL("case.json", folder), "utf8"));
const expected = readSafetensors(new URL("expected.safetensors", folder));

const largestMagnitude = (values: Float32Array | Float64Array) => Math.max(...values.map(Math.abs));
const gradientNames = [...expected.keys()].filter((name) => name.startsWith("gradient."));
const largestGradient = Math.max(...gradientNames.map((name) => largestMagnitude(expected.get(name)!)));

const { channels, imageSize } = golden.spec.vision;
const images = [0, 1].map((index) => {
  const pixels = channels * imageSize * imageSize;
  return Float32Array.from(expected.get("images")!.subarray(index * pixels, (index + 1) * pixels));
});
const sequences = golden.sequences.map(({ prompt, image, response }) => ({
  prompt: { tokens: Int32Array.from(prompt), images: [images[image]!] },
  response: Int32Array.from(response),
}));
const coefficients = (output: string) => Float32Array.from(expected.get(`coefficients.${output}`)!);

function expectClose(precision: Precision, name: string, received: ArrayLike<number>): void {
  const reference = expected.get(name)!;
  expect(received.length, name).toBe(reference.length);
  const error = Math.max(...reference.map((value, i) => Math.abs(received[i]! - value)));
  const largest = name.startsWith("gradient.") ? largestGradient : largestMagnitude(reference);
  const errors = precision === "fp32" ? golden.float32Errors : golden.bfloat16Errors;
  const allowed = 4 * errors[name]! + 2 ** -22 * largest;
  expect(error, name).toBeLessThanOrEqual(allowed);
}

describe.each([
  { cpu: "portable", precision: "fp32", activationCheckpointing: false },
  { cpu: undefined, precision: "fp32", activationCheckpointing: false },
  { cpu: undefined, precision: "fp32", activationCheckpointing: true },
  { cpu: "portable", precision: "bf16", activationCheckpointing: false },
  { cpu: undefined, precision: "bf16", activationCheckpointing: true },
] as const)("the engine in $precision with $cpu and checkpointing $activationCheckpointing", (options) => {
  const close = (name: string, received: ArrayLike<number>) => expectClose(options.precision, name, received);

  let engine: Engine;
  let scores: ForwardResult;
  let scratch: string;

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), "sightline-"));
    engine = await Engine.create({
      model: golden.spec,
      threads: 2,
      precision: options.precision,
      activationCheckpointing: options.activationCheckpointing,
      ...(options.cpu && { cpu: options.cpu }),
    });
    await engine.load({ model: fileURLToPath(new URL("model.safetensors", folder)) });
    scores = await engine.forward(sequences, { temperature: golden.temperature, entropies: true });
  });
  afterAll(() => {
    engine.dispose();
    rmSync(scratch, { recursive: true });
  });

  test("computes PyTorch's log-probs, entropies and values", () => {
    expect([...scores.offsets]).toEqual([0, 7, 8, 13]);
    close("log_probs", scores.logProbs);
    close("entropies", scores.entropies!);
    close("values", scores.values);
  });

  test("computes PyTorch's gradient for every parameter", async () => {
    await engine.backward(scores, {
      logProbs: coefficients("log_probs"),
      entropies: coefficients("entropies"),
      values: coefficients("values"),
    });
    // With the first beta at zero, AdamW's first moment after a step is the gradient itself.
    await engine.step({
      groups: [{ components: ["vision", "projector", "decoder", "value_head"], learningRate: 0 }],
      betas: [0, 0.999],
    });
    const optimizer = join(scratch, "optimizer.safetensors");
    await engine.save({ model: join(scratch, "model.safetensors"), optimizer });
    const moments = readSafetensors(optimizer);

    const parameters = engine.parameters().map(({ name }) => name);
    expect(parameters.map((name) => `gradient.${name}`).sort()).toEqual(gradientNames.toSorted());
    for (const name of parameters) close(`gradient.${name}`, moments.get(`${name}.first_moment`)!);
  });
});
