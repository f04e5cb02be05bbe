// Reads mutated safetensors files, in sets of one to three, as the engine loads a model, and ends with an error for anything but a
// typed refusal. Needs the test addon (scripts/build-test-addon.mjs); under the sanitizers, set SIGHTLINE_TESTING_ADDON to their build.
//
//   node scripts/fuzz-safetensors.mjs [inputs, default 1000000] [seed, default 1]
import { createRequire } from "node:module";
import path from "node:path";

const file =
  process.env.SIGHTLINE_TESTING_ADDON ??
  path.resolve(import.meta.dirname, "../build/testing/sightline_testing.node");
const native = createRequire(import.meta.url)(file);
const inputs = Number(process.argv[2] ?? 1_000_000);
const seed = Number(process.argv[3] ?? 1);

function safetensors(header, dataBytes) {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
}

const tensor = (dtype, shape, begin, end) => ({ dtype, shape, data_offsets: [begin, end] });
const valid = safetensors(
  { a: tensor("F32", [3], 0, 12), b: tensor("BF16", [2, 1], 12, 16), c: tensor("BF16", [2, 1], 16, 20) },
  20,
);
const others = [
  valid,
  safetensors({}, 0),
  safetensors(
    { __metadata__: { format: "pt" }, a: tensor("F64", [1, 3], 0, 24), ignored: tensor("I64", [], 24, 32) },
    32,
  ),
  safetensors({ b: tensor("F16", [2], 0, 4), big: tensor("U8", [2 ** 53 - 1, 0], 4, 4) }, 4),
];
const counts = { inputs: 0, refusedHeaders: 0, headers: 0, refusedSets: 0, loadedSets: 0 };
const batch = 100_000;
for (let part = 0; part * batch < inputs; part++) {
  const result = native.fuzzSafetensors(others, valid, Math.min(batch, inputs - part * batch), seed + part);
  counts.inputs += result.headers + result.refusedHeaders;
  for (const [name, count] of Object.entries(result)) counts[name] += count;
  process.stdout.write(`\r${counts.inputs} inputs`);
}
process.stdout.write(`\n${JSON.stringify(counts, undefined, 2)}\n`);
