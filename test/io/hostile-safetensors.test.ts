import { describe, expect, test } from "vitest";
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

  test("made by 100,000 random mutations, in sets of one to three, is a typed error or a model that can be read", () => {
    const seeds = hostileFiles.map(([, contents]) => contents).filter((contents) => contents.length < 1000);
    const valid = fileBytes(
      { a: floats(0, 3), b: { dtype: "BF16", shape: [2, 1], data_offsets: [12, 16] } },
      new Uint8Array(16),
    );
    const counts = native.fuzzSafetensors([...seeds, valid], valid, 100_000, 1);
    expect(counts.headers + counts.refusedHeaders).toBeGreaterThanOrEqual(100_000);
    // Every outcome is reached often, so that mutations go past the first checks.
    expect(counts.refusedHeaders).toBeGreaterThan(10_000);
    expect(counts.refusedSets).toBeGreaterThan(1000);
    expect(counts.loadedSets).toBeGreaterThan(1000);
  });
});
