import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/native/engine.js";
import type { DeviceName, ParameterGroup } from "../../src/native/types.js";
import { useEmulatedCuda, withoutCuda } from "../emulated-cuda.js";
import { emulator } from "../emulator/cuda.js";
import { createTinyEngine, expectFailure, sequence } from "../native/tiny-engine.js";

/** What an optimizer step does as a whole, on either device; its arithmetic is tested with the ops. */
let scratch: string;
let engine: Engine;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "sightline-"));
  useEmulatedCuda();
});
afterEach(() => engine.dispose());
afterAll(() => rmSync(scratch, { recursive: true }));

async function create(device: DeviceName): Promise<void> {
  if (device === "cuda") emulator.configure({ interpreterThreads: 2 });
  engine = await createTinyEngine({ device });
}

const value: ParameterGroup = { components: ["value_head"], learningRate: 1e-2 };
const decoder: ParameterGroup = { components: ["decoder"], learningRate: 1e-2, maxGradientNorm: 0.1 };

/** Accumulates gradients of log-probs and of values. */
async function accumulate(logProb: number): Promise<void> {
  const scores = await engine.forward([sequence(5), sequence(3, [6, 7])]);
  await engine.backward(scores, {
    logProbs: scores.logProbs.map(() => logProb),
    values: scores.values.map(() => 1),
  });
}

/** The model's weights and the optimizer's state, as bytes. */
async function state(): Promise<Buffer[]> {
  const files = { model: join(scratch, "model"), optimizer: join(scratch, "optimizer") };
  await engine.save(files);
  return Object.values(files).map((file) => readFileSync(file));
}

const devices: [DeviceName, string, boolean][] = [
  ["cpu", "the CPU", false],
  ["cuda", `the emulated GPU${withoutCuda}`, withoutCuda !== ""],
];
for (const [device, title, skipped] of devices)
  describe.skipIf(skipped)(`an optimizer step on ${title}`, () => {
    test("changes nothing when one group's gradient is not finite", async () => {
      await create(device);
      await accumulate(1);
      await engine.step({ groups: [value, decoder] });
      const before = await state();
      await accumulate(Number.NaN);
      const failing = engine.step({ groups: [value, decoder] });
      await expectFailure(failing, "INVALID_ARGUMENT", /groups\[1\]: the gradient is not finite/);
      expect(await state()).toEqual(before);
    });

    test("clears every gradient, also of what it leaves as it is", async () => {
      await create(device);
      await accumulate(1);
      const first = await engine.step({ groups: [value] });
      expect([...first.gradientNorms].every((norm) => norm > 0)).toBe(true);
      const second = await engine.step({ groups: [value, decoder] });
      expect([...second.gradientNorms]).toEqual([0, 0]);
    });
  });

describe.skipIf(withoutCuda !== "")(`an optimizer step on the emulated GPU${withoutCuda}`, () => {
  test("launches three kernels per group and waits once", async () => {
    await create("cuda");
    await accumulate(1);
    const before = emulator.calls(0);
    await engine.step({ groups: [value, { ...decoder, components: ["vision", "projector", "decoder"] }] });
    const after = emulator.calls(0);
    expect(after.kernelLaunches - before.kernelLaunches).toBe(2 * 3);
    expect(after.waits - before.waits).toBe(1);
    expect(after.fills - before.fills).toBe(0);
    // The table of tensors; which block of a kernel takes which tensor; the norms.
    expect(after.copies - before.copies).toBe(1 + 2 * 2 + 1);
    expect(emulator.violation(0)).toBe("");
  });
});
