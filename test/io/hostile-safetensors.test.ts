import { describe, expect, test } from "vitest";
import { deriveKey, Random } from "../../src/random.js";
import { hostileFiles } from "./hostile-safetensors.js";
import { fileBytes, floats, native } from "./native-safetensors.js";

function failureOf(contents: Uint8Array): { code: unknown; message: string } | undefined {
  try {
    native.parseSafetensors(contents);
    return undefined;
  } catch (error) {
    if (error instanceof Error && "code" in error) return { code: error.code, message: error.message };
    throw error;
  }
}

describe("a hostile safetensors file", () => {
  test.each(hostileFiles)("with %s is a FORMAT error that says so", (_, contents, message) => {
    const failure = failureOf(contents);
    expect(failure?.code).toBe("FORMAT");
    expect(failure?.message).toMatch(message);
  });

  test("is described in a short message whatever its names are", () => {
    const failure = failureOf(fileBytes({ ["é\n".repeat(1_000_000)]: { dtype: "F32" } }));
    expect(failure?.message.length).toBeLessThan(800);
    expect(failure?.message).toContain('é\\u000aé..."');
  });

  test("cut off anywhere, or with any one bit flipped, is a typed error or a valid file", () => {
    const whole = fileBytes(
      { __metadata__: { format: "pt" }, a: floats(0, 3), b: floats(12, 2) },
      new Uint8Array(20),
    );
    for (let length = 0; length < whole.length; length++) {
      expect(failureOf(whole.subarray(0, length))?.code, `${length} bytes`).toBe("FORMAT");
    }
    for (let bit = 0; bit < 8 * (whole.length - 20); bit++) {
      const flipped = Buffer.from(whole);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect([undefined, "FORMAT"], `bit ${bit}`).toContain(failureOf(flipped)?.code);
    }
  });

  test("made by 30,000 random mutations is a typed error or a valid file", () => {
    const random = new Random(deriveKey(20_240_517));
    const seeds = hostileFiles.map(([, contents]) => contents).filter((contents) => contents.length < 1000);
    const valid = fileBytes({ a: floats(0, 3), b: floats(12, 2), c: floats(20, 0) }, new Uint8Array(20));
    const counts = { valid: 0, FORMAT: 0 };
    for (let input = 0; input < 30_000; input++) {
      const code =
        failureOf(mutate(random, random.integer(2) ? valid : random.pick(seeds), seeds))?.code ?? "valid";
      expect(["valid", "FORMAT"], `input ${input}`).toContain(code);
      counts[code as keyof typeof counts] += 1;
    }
    // Both outcomes are reached often, so that mutations go past the first check.
    expect(counts.valid).toBeGreaterThan(300);
    expect(counts.FORMAT).toBeGreaterThan(10_000);
  });
});

const fragments = [
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "-",
  "0",
  "18446744073709551615",
  "9223372036854775807",
  '"dtype"',
  '"shape"',
  '"data_offsets"',
  '"__metadata__"',
  "\\ud800",
  "\xff",
  "1e9",
  "null",
];

/** One to three edits: a changed bit, a fragment put in, a range cut out, a range of another input put in. */
function mutate(random: Random, seed: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  let bytes = Buffer.from(seed);
  for (let edits = 1 + random.integer(3); edits > 0; edits--) {
    const at = random.integer(bytes.length + 1);
    const rest = bytes.subarray(at);
    switch (random.integer(4)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << random.integer(8);
        break;
      case 1:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(random.pick(fragments), "latin1"), rest]);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), rest.subarray(random.integer(9))]);
        break;
      default: {
        const other = random.pick(others);
        const begin = random.integer(other.length + 1);
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          other.subarray(begin, begin + random.integer(40)),
          rest,
        ]);
      }
    }
  }
  // Most inputs get a length field that is true for as much data as before, so that parsing goes on.
  if (seed.length >= 8 && bytes.length >= 8 && random.integer(8) > 0) {
    const dataBytes = BigInt(seed.length - 8) - Buffer.from(seed).readBigUInt64LE();
    bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(bytes.length - 8) - dataBytes));
  }
  return bytes;
}
