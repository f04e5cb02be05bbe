import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { ForwardResult } from "../../src/native/types.js";
import { useEmulatedCuda, withoutCuda } from "../emulated-cuda.js";
import { readSafetensors } from "../golden/safetensors.js";
import { coefficients, expectClose, golden, gradientNames, modelFile, sequences } from "./golden-case.js";

if (withoutCuda === "") useEmulatedCuda();

describe.each([
  { device: "cpu", cpu: "portable", precision: "fp32", activationCheckpointing: false },
  { device: "cpu", cpu: undefined, precision: "fp32", activationCheckpointing: false },
  { device: "cpu", cpu: undefined, precision: "fp32", activationCheckpointing: true },
  { device: "cpu", cpu: "portable", precision: "bf16", activationCheckpointing: false },
  { device: "cpu", cpu: undefined, precision: "bf16", activationCheckpointing: true },
  // On the emulated GPU; why these are left out is the title of cuda-emulated.test.ts.
  ...(withoutCuda === ""
    ? ([
        { device: "cuda", cpu: undefined, precision: "fp32", activationCheckpointing: false },
        { device: "cuda", cpu: undefined, precision: "bf16", activationCheckpointing: true },
      ] as const)
    : []),
] as const)(
  "the engine on $device in $precision with $cpu and checkpointing $activationCheckpointing",
  (options) => {
    const close = (name: string, received: ArrayLike<number>) =>
      expectClose(options.precision, name, received);

    let engine: Engine;
    let scores: ForwardResult;
    let scratch: string;

    beforeAll(async () => {
      scratch = mkdtempSync(join(tmpdir(), "sightline-"));
      engine = await Engine.create({
        model: golden.spec,
        device: options.device,
        threads: 2,
        precision: options.precision,
        activationCheckpointing: options.activationCheckpointing,
        ...(options.cpu && { cpu: options.cpu }),
      });
      await engine.load({ model: modelFile });
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
  },
);
