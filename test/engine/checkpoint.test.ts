import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/native/engine.js";
import type { EngineOptions, TensorFiles } from "../../src/native/types.js";
import {
  type FileTensor,
  floatsOf,
  readTensorFile,
  tensorOf,
  toBfloat16,
  toHalf,
  writeTensorFile,
} from "../io/tensor-file.js";
import { createTinyEngine, expectFailure } from "../native/tiny-engine.js";

let folder: string;
let engines: Engine[] = [];
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "sightline-checkpoint-"));
});
afterEach(() => {
  for (const engine of engines) engine.dispose();
  engines = [];
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string) => path.join(folder, `${name}.safetensors`);

async function open(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await createTinyEngine(options);
  engines.push(engine);
  return engine;
}

/** Every parameter of an engine as F32, by its own name. */
async function weightsOf(engine: Engine): Promise<Map<string, FileTensor>> {
  await engine.save({ model: file("weights-of") });
  return new Map([...readTensorFile(file("weights-of"))].map(([name, tensor]) => [name, tensor]));
}

async function expectWeights(engine: Engine, expected: ReadonlyMap<string, FileTensor>): Promise<void> {
  const received = await weightsOf(engine);
  expect([...received.keys()]).toEqual([...expected.keys()]);
  for (const [name, tensor] of received) {
    expect(tensor.shape, name).toEqual(expected.get(name)!.shape);
    expect(tensor.bytes.equals(expected.get(name)!.bytes), name).toBe(true);
  }
}

const isValueHead = (name: string) => name.startsWith("value_head.");
const otherName = (name: string) => `theirs.${name}`;

/**
 * Writes an engine's parameters but the value head to a shard for each component, as `theirs.<name>`, with a table of integers in the
 * decoder's, which is the first.
 *
 * @param edit changes what the shards hold
 */
async function writeShards(
  engine: Engine,
  edit: (decoder: Record<string, FileTensor>, vision: Record<string, FileTensor>) => void = () => {},
): Promise<TensorFiles> {
  const shards: Record<string, FileTensor>[] = [{}, {}, {}];
  const names: Record<string, string> = {};
  const weights = [...(await weightsOf(engine))].filter(([name]) => !isValueHead(name));
  for (const [name, tensor] of weights) {
    names[name] = otherName(name);
    const shard = ["decoder.", "vision.", "projector."].findIndex((component) => name.startsWith(component));
    shards[shard]![otherName(name)] = tensor;
  }
  shards[0]!.position_ids = tensorOf("I64", [2], new BigInt64Array(2));
  edit(shards[0]!, shards[1]!);
  const files = shards.map((shard, i) => {
    writeTensorFile(file(`shard-${i}`), shard);
    return file(`shard-${i}`);
  });
  return { files, names, ignored: ["position_ids"] };
}

describe("loading from several files", () => {
  test("takes every parameter under its name there, whatever its shape and its file", async () => {
    const source = await open({ seed: 1 });
    const files = await writeShards(source, (_, tensors) => {
      const name = otherName("vision.patch_embed.weight");
      expect(tensors[name]!.shape).toEqual([8, 48]);
      tensors[name] = { ...tensors[name]!, shape: [8, 3, 4, 4] };
    });
    const engine = await open({ seed: 2 });
    const before = await weightsOf(engine);
    await engine.load({ model: [files] });
    const own = await weightsOf(source);
    const expected = [...own].map(
      ([name, tensor]) => [name, isValueHead(name) ? before.get(name)! : tensor] as const,
    );
    await expectWeights(engine, new Map(expected));
  });

  test("starts the value head and adapters anew where no file has them", async () => {
    const source = await open({ seed: 1 });
    const own = await weightsOf(source);
    const files = await writeShards(source);
    const lora = { trainable: { decoder: "lora" }, lora: { rank: 2, alpha: 4 } } as const;
    const engine = await open({ seed: 2, ...lora });
    const fresh = await weightsOf(engine);
    const trained = [...fresh].map(
      ([name, tensor]) => [name, { ...tensor, bytes: Buffer.alloc(tensor.bytes.length, 1) }] as const,
    );
    writeTensorFile(file("trained"), Object.fromEntries(trained));
    await engine.load({ model: file("trained") });
    await expectWeights(engine, new Map(trained));
    await engine.load({ model: [files] });
    const received = await weightsOf(engine);
    for (const [name, tensor] of fresh) {
      const isNew = isValueHead(name) || name.includes(".lora_");
      const expected = isNew ? tensor : own.get(name)!;
      expect(received.get(name)!.bytes.equals(expected.bytes), name).toBe(true);
    }
  });

  test("takes a value head and adapters from files of their own, beside the model's", async () => {
    const lora = { trainable: { decoder: "lora" }, lora: { rank: 2, alpha: 4 } } as const;
    const source = await open({ seed: 1, ...lora });
    const own = await weightsOf(source);
    const groups = [isValueHead, (name: string) => name.includes(".lora_")].map((isOf, i) => {
      const tensors = [...own]
        .filter(([name]) => isOf(name))
        .map(([name, tensor]) => [otherName(name), tensor]);
      writeTensorFile(file(`group-${i}`), Object.fromEntries(tensors));
      const names = [...own.keys()].filter(isOf).map((name) => [name, otherName(name)]);
      return { files: [file(`group-${i}`)], names: Object.fromEntries(names) };
    });
    const files = await writeShards(await open({ seed: 1 }));
    const engine = await open({ seed: 2, ...lora });
    await engine.load({ model: [files, ...groups] });
    await expectWeights(engine, own);
  });

  test.each([
    ["F16", toHalf],
    ["BF16", toBfloat16],
    ["F64", (x: number) => x],
  ] as const)("reads what is stored as %s", async (dtype, round) => {
    const source = await open({ seed: 1 });
    const own = await weightsOf(source);
    const name = "decoder.embed.weight";
    const { shape } = own.get(name)!;
    const values = [...floatsOf(own.get(name)!)].map(round);
    const files = await writeShards(source);
    if (dtype === "F64") {
      const holder = files.files.find((each) => readTensorFile(each).has(otherName(name)))!;
      const tensors = Object.fromEntries(readTensorFile(holder));
      writeTensorFile(holder, {
        ...tensors,
        [otherName(name)]: tensorOf("F64", shape, Float64Array.from(values)),
      });
    } else {
      await source.save({
        model: [{ file: file("typed"), names: { [name]: otherName(name) }, type: dtype }],
      });
      const holder = files.files.find((each) => readTensorFile(each).has(otherName(name)))!;
      const tensors = Object.fromEntries(readTensorFile(holder));
      writeTensorFile(holder, { ...tensors, ...Object.fromEntries(readTensorFile(file("typed"))) });
    }
    const engine = await open({ seed: 2 });
    await engine.load({ model: [files] });
    expect([...floatsOf((await weightsOf(engine)).get(name)!)]).toEqual(values);
  });

  test("lists everything that is wrong in all files together, and takes nothing", async () => {
    const source = await open({ seed: 1 });
    const files = await writeShards(source, (tensors) => {
      delete tensors["theirs.decoder.embed.weight"];
      tensors["theirs.decoder.layers.0.attention.k.weight"] = tensorOf("F32", [2], new Float32Array(2));
      tensors["theirs.decoder.layers.0.norm2.weight"] = tensorOf("I64", [16], new BigInt64Array(16));
      tensors.stray = tensorOf("F32", [1, 2], new Float32Array(2));
    });
    const again = readTensorFile(files.files[1]!);
    const [repeated] = again.keys();
    writeTensorFile(file("again"), { [repeated!]: again.get(repeated!)! });
    const engine = await open({ seed: 2 });
    const before = await weightsOf(engine);
    const { "decoder.norm.weight": _, ...names } = files.names;
    const load = engine.load({ model: [{ ...files, names, files: [...files.files, file("again")] }] });
    const error = await load.catch((reason: unknown) => reason as Error & { code: string });
    expect(error).toMatchObject({ code: "FORMAT" });
    const lines = (error as Error).message.split("\n");
    expect(lines[0]).toBe(`${files.files[0]} and 3 more: the tensors are not those of this model:`);
    expect(lines.slice(1).sort()).toEqual(
      [
        "  missing: decoder.norm.weight (16)",
        "  missing: theirs.decoder.embed.weight (32, 16), which is decoder.embed.weight",
        "  misshaped: theirs.decoder.layers.0.attention.k.weight is (2), expected (8, 16) or as many elements, which is decoder.layers.0.attention.k.weight",
        "  not of floats: theirs.decoder.layers.0.norm2.weight is I64, expected F32, F64, F16 or BF16, which is decoder.layers.0.norm2.weight",
        `  twice: "${repeated}" in ${files.files[1]} and ${file("again")}`,
        '  unexpected: "stray" (1, 2)',
        '  unexpected: "theirs.decoder.norm.weight" (16)',
      ].sort(),
    );
    await expectWeights(engine, before);
  });

  test("takes a copy of another tensor only while it is one", async () => {
    const source = await open({ seed: 1 });
    const copies = { copy: otherName("decoder.embed.weight") };
    const withCopy = (change: (bytes: Buffer) => void) =>
      writeShards(source, (tensors) => {
        const original = tensors[otherName("decoder.embed.weight")]!;
        const bytes = Buffer.from(original.bytes);
        change(bytes);
        tensors.copy = { ...original, bytes };
      });
    const engine = await open({ seed: 2 });
    await engine.load({ model: [{ ...(await withCopy(() => {})), copies }] });
    const changed = await withCopy((bytes) => bytes.writeUInt8(bytes[77]! ^ 1, 77));
    await expectFailure(
      engine.load({ model: [{ ...changed, copies }] }),
      "FORMAT",
      /not a copy: "copy" differs from "theirs.decoder.embed.weight", to which it is tied/,
    );
  });

  test("refuses names of parameters that the model has not, and one parameter twice", async () => {
    const files = await writeShards(await open({ seed: 1 }));
    const engine = await open({ seed: 2 });
    await expectFailure(
      engine.load({ model: [{ ...files, names: { ...files.names, "decoder.nothing": "x" } }] }),
      "INVALID_ARGUMENT",
      'model.names: expected parameters of this model, received "decoder.nothing"',
    );
    await expectFailure(
      engine.load({ model: [files, files] }),
      "INVALID_ARGUMENT",
      /expected each parameter once, received "decoder.embed.weight" twice/,
    );
  });

  test("refuses a value head or adapters of which a part is missing", async () => {
    const engine = await open();
    const own = await weightsOf(engine);
    own.delete("value_head.layers.1.bias");
    writeTensorFile(file("part"), Object.fromEntries(own));
    await expectFailure(
      engine.load({ model: file("part") }),
      "FORMAT",
      /\n {2}missing: value_head.layers.1.bias \(1\)$/,
    );
  });
});

describe("saving to several files", () => {
  test("rounds to nearest even, and writes names and shapes as asked", async () => {
    const engine = await open();
    const own = await weightsOf(engine);
    const name = "decoder.layers.0.mlp.up.weight";
    for (const [type, round] of [
      ["F32", (x: number) => x],
      ["BF16", toBfloat16],
      ["F16", toHalf],
    ] as const) {
      const shapes = { [name]: [4, 8, 16] };
      await engine.save({
        model: [
          { file: file("first"), names: { [name]: "b", "decoder.norm.weight": "a" }, type, shapes },
          { file: file("second"), names: { "decoder.embed.weight": "c" }, type },
        ],
      });
      const first = readTensorFile(file("first"));
      expect([...first.keys()]).toEqual(["b", "a"]);
      expect(first.get("b")).toMatchObject({ dtype: type, shape: [4, 8, 16] });
      expect(readTensorFile(file("second")).get("c")).toMatchObject({ dtype: type, shape: [32, 16] });
      const expected = [...floatsOf(own.get(name)!)].map(round);
      expect(decoded(first.get("b")!)).toEqual(expected);
    }
  });

  test("refuses a shape of another number of elements before anything is written", async () => {
    const engine = await open();
    const target = file("never");
    const names = { "decoder.norm.weight": "a" };
    await expectFailure(
      engine.save({ model: [{ file: target, names, shapes: { "decoder.norm.weight": [3, 5] } }] }),
      "INVALID_ARGUMENT",
      "model.shapes.decoder.norm.weight: expected 16 elements, received (3, 5)",
    );
    expect(() => readFileSync(target)).toThrow();
  });
});

/** The numbers of a tensor of 16-bit or 32-bit floats. */
function decoded({ dtype, bytes }: FileTensor): number[] {
  if (dtype === "F32") return [...new Float32Array(new Uint8Array(bytes).buffer)];
  return [...new Uint16Array(new Uint8Array(bytes).buffer)].map((bits) => {
    if (dtype === "BF16") return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    return exponent === 0
      ? sign * (bits & 1023) * 2 ** -24
      : sign * (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15);
  });
}
