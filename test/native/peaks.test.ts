import { describe, expect, test } from "vitest";
import { measurePeaks } from "../../src/native/peaks.js";
import { backends } from "../ops/native-ops.js";
import { expectFailure } from "./tiny-engine.js";

describe("measurePeaks", () => {
  test.each(backends.map(({ name }) => name))("measures the path %s", async (name) => {
    const peaks = await measurePeaks({ cpu: name as "portable", threads: 2 });
    expect(peaks).toMatchObject({ cpu: name, threads: 2 });
    expect(peaks.fp32GflopsPerSecond).toBeGreaterThan(0);
    expect(peaks.readGigabytesPerSecond).toBeGreaterThan(0);
    if (name === "avx512_bf16") expect(peaks.bf16GflopsPerSecond).toBeGreaterThan(0);
    else expect(peaks.bf16GflopsPerSecond).toBeNull();
  });

  test("names what it cannot take", async () => {
    await expectFailure(
      measurePeaks({ threads: 0 }),
      "INVALID_ARGUMENT",
      "threads: expected an integer in [1, 1024], received 0",
    );
    await expectFailure(
      measurePeaks({ cpu: "sse" as "avx2" }),
      "INVALID_ARGUMENT",
      /^cpu: expected "portable", "avx2", "avx512" or "avx512_bf16", received "sse"/,
    );
  });
});
