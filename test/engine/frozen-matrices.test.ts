import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { EngineOptions, ParameterInfo } from "../../src/native/types.js";
import { readSafetensors } from "../golden/safetensors.js";
import { tinySpec } from "../native/tiny-engine.js";
import { toBfloat16 } from "../ops/storage.js";

/** In bf16, matrices that are not trained are stored as bfloat16; files hold fp32. */

const scratch = mkdtempSync(join(tmpdir(), "sightline-"));
const engines: Engine[] = [];
afterAll(() => {
  for (const engine of engines) engine.dispose();
  rmSync(scratch, { recursive: true });
});

async function create(options: Partial<EngineOptions>): Promise<Engine> {
  const engine = await Engine.create({ model: tinySpec, threads: 2, ...options });
  engines.push(engine);
  return engine;
}

async function save(engine: Engine, name: string): Promise<string> {
  const model = join(scratch, `${name}.safetensors`);
  await engine.save({ model });
  return model;
}

/** A matrix that products or the embedding read, of a component of which at most adapters are trained. */
const isFrozenMatrix = ({ name, shape, trainable }: ParameterInfo) =>
  !trainable && shape.length === 2 && name.endsWith(".weight");

const mostlyFrozen = {
  precision: "bf16",
  trainable: { vision: "frozen", projector: "frozen", decoder: "lora" },
  lora: { rank: 2, alpha: 4 },
} as const;

describe("frozen matrices in bf16", () => {
  test("keep their bits when saved and loaded again", async () => {
    const first = await save(await create({ ...mostlyFrozen, seed: 1 }), "first");
    const other = await create({ ...mostlyFrozen, seed: 2 });
    expect(readFileSync(await save(other, "other"))).not.toEqual(readFileSync(first));
    await other.load({ model: first });
    expect(readFileSync(await save(other, "again"))).toEqual(readFileSync(first));
  });

  test("are rounded when they come from a file of fp32 numbers, and nothing else is", async () => {
    const given = await save(await create({ ...mostlyFrozen, precision: "fp32", seed: 3 }), "fp32");
    const engine = await create({ ...mostlyFrozen, seed: 4 });
    await engine.load({ model: given });
    const before = readSafetensors(given);
    const after = readSafetensors(await save(engine, "rounded"));
    const parameters = engine.parameters();
    expect(parameters.filter(isFrozenMatrix).length).toBeGreaterThan(10);
    expect(parameters.filter((parameter) => !isFrozenMatrix(parameter)).length).toBeGreaterThan(10);
    for (const parameter of parameters) {
      const { name } = parameter;
      const expected = isFrozenMatrix(parameter) ? before.get(name)!.map(toBfloat16) : before.get(name)!;
      expect([...after.get(name)!], name).toEqual([...expected]);
    }
  });

  test("take half the memory", async () => {
    const weights = async (precision: "fp32" | "bf16") =>
      (await create({ ...mostlyFrozen, precision })).memory().weights.currentBytes;
    expect(await weights("bf16")).toBeLessThan(0.75 * (await weights("fp32")));
  });
});
