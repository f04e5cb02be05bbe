import { describe, expect, test } from "vitest";
import { compile, nvccMissing, skipReason } from "./nvcc.js";
import { type Argument, type CheckOptions, findings, isas, native, onIsa, run } from "./ptx.js";

/** Numbers between -1 and 1 without pattern. */
const noise = (count: number, seed: number) =>
  Float32Array.from(
    { length: count },
    (_, k) => (Math.imul(k + 7, 2654435761 + 2 * seed) >>> 8) / 2 ** 23 - 1,
  );

const toBf16 = (values: Float32Array) =>
  Uint16Array.from(
    new Uint32Array(values.buffer.slice(0)),
    (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16,
  );
const fromBf16 = (words: Uint16Array) =>
  new Float32Array(Uint32Array.from(words, (word) => word << 16).buffer);

const every: CheckOptions[] = [
  { asyncCopies: "late" },
  { asyncCopies: "early", randomInterleaving: true, seed: 2 },
  { asyncCopies: "random", randomInterleaving: true, seed: 3 },
];

describe.skipIf(nvccMissing)(`kernels that nvcc compiled${skipReason}`, () => {
  describe("row_norm", () => {
    const rows = 5;
    const n = 1008;
    const inputs = [toBf16(noise(rows * n, 1)), toBf16(noise(n, 2))] as const;
    const launch = { grid: [rows], block: [128] };
    const args = (y: Uint16Array): Argument[] => [
      { buffer: y, initialised: false },
      { buffer: inputs[0] },
      { buffer: inputs[1] },
      { s32: n },
      { f32: 1e-5 },
    ];
    const options = { kernel: "row_norm" };

    test("normalises", () => {
      const ptx = compile("row_norm");
      const [x, weight] = [fromBf16(inputs[0]), fromBf16(inputs[1])];
      for (const checks of every)
        for (const isa of isas) {
          const y = new Uint16Array(rows * n);
          const traffic = onIsa(isa, () =>
            run(ptx, launch, args(y), { ...checks, countTraffic: true }, options),
          );
          expect(traffic.globalSectors).toBe(traffic.globalIdealSectors);
          const result = fromBf16(y);
          for (let row = 0; row < rows; row++) {
            const values = x.subarray(row * n, (row + 1) * n);
            const rms = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / n + 1e-5);
            for (let k = 0; k < n; k++) {
              const expected = (values[k]! / rms) * weight[k]!;
              // Half a unit of bfloat16's last place, and a little for float32.
              expect(Math.abs(result[row * n + k]! - expected)).toBeLessThanOrEqual(
                Math.abs(expected) * 2 ** -8 * 1.001,
              );
            }
          }
        }
    });

    test("a missing barrier is found", () => {
      for (const checks of every) {
        const found = findings(
          compile("row_norm", ["MISSING_BARRIER"]),
          launch,
          args(new Uint16Array(rows * n)),
          checks,
          options,
        );
        expect(["uninitialised", "race"]).toContain(found[0]!.kind);
        expect(found[0]!.file).toMatch(/row_norm\.cu$/);
        expect(found[0]!.line).toBeGreaterThan(0);
      }
    });

    test("a store past the row is found", () => {
      const [found] = findings(
        compile("row_norm", ["STORE_PAST_ROW"]),
        launch,
        args(new Uint16Array(rows * n)),
        {},
        options,
      );
      expect(found).toMatchObject({ kind: "out_of_bounds", block: [rows - 1, 0, 0] });
      expect(found!.message).toMatch(/a store of 16 bytes at offset 10080 of an allocation of 10080 bytes/);
    });
  });

  describe("tile_product", () => {
    const [m, n, k] = [100, 136, 256];
    const inputs = [toBf16(noise(m * k, 3)), toBf16(noise(n * k, 4))] as const;
    const launch = {
      grid: [Math.ceil(n / 64), Math.ceil(m / 64)],
      block: [128],
      sharedBytes: 4 * 64 * 64 * 2,
    };
    const args = (c: Float32Array): Argument[] => [
      { buffer: c, initialised: false },
      { buffer: inputs[0] },
      { buffer: inputs[1] },
      { s32: m },
      { s32: n },
      { s32: k },
    ];
    const options = { kernel: "tile_product" };

    test("multiplies, without bank conflicts or partly used sectors", () => {
      const ptx = compile("tile_product");
      const [a, b] = [fromBf16(inputs[0]), fromBf16(inputs[1])];
      let first: Float32Array | undefined;
      for (const checks of every)
        for (const threads of [1, 2]) {
          const c = new Float32Array(m * n);
          const traffic = run(
            ptx,
            launch,
            args(c),
            { ...checks, countTraffic: true },
            { ...options, threads },
          );
          expect(traffic.sharedWavefronts).toBe(traffic.sharedIdealWavefronts);
          expect(traffic.globalSectors).toBe(traffic.globalIdealSectors);
          expect(traffic.mma).toBe(6 * 4 * (k / 16) * 8);
          first ??= c;
          expect(c).toEqual(first);
        }
      for (let row = 0; row < m; row++)
        for (let column = 0; column < n; column++) {
          let [sum, magnitude] = [0, 0];
          for (let at = 0; at < k; at++) {
            sum += a[row * k + at]! * b[column * k + at]!;
            magnitude += Math.abs(a[row * k + at]! * b[column * k + at]!);
          }
          // Every one of the k additions rounds once.
          expect(Math.abs(first![row * n + column]! - sum)).toBeLessThanOrEqual(k * 2 ** -24 * magnitude);
        }
    });

    test("a removed swizzle shows in the wavefronts", () => {
      const checks = { countTraffic: true };
      const traffic = run(
        compile("tile_product", ["REMOVED_SWIZZLE"]),
        launch,
        args(new Float32Array(m * n)),
        checks,
        options,
      );
      expect(traffic.sharedWavefronts).toBeGreaterThan(4 * traffic.sharedIdealWavefronts);
    });

    test("a wait for one group too few is found, early copies or late", () => {
      const ptx = compile("tile_product", ["SHORT_WAIT"]);
      for (const checks of every) {
        const [found] = findings(ptx, launch, args(new Float32Array(m * n)), checks, options);
        expect(found!.kind).toBe("async_copy");
      }
    });

    test("a buffer that is reused too early is found, early copies or late", () => {
      const ptx = compile("tile_product", ["EARLY_REUSE"]);
      for (const checks of every) {
        const found = findings(ptx, launch, args(new Float32Array(m * n)), checks, options);
        expect(["race", "async_copy"]).toContain(found[0]!.kind);
        expect(found[0]!.message).toMatch(/cp\.async|ldmatrix/);
      }
    });
  });

  test("language: what nvcc makes of everyday code gives what the code says", () => {
    const ptx = compile("language");
    const threads = 512;
    const x = noise(threads, 5).map((v) => v * 50);
    const [divisor, scale] = [37, 1.5];
    const signs = [0, -3, 4, -5];
    const reals = new Float64Array(2 * threads);
    const words = new Uint32Array(threads);
    expect(native.parsePtx(ptx)[0]!.parameterBytes).toEqual([8, 8, 8, 16]);
    const settings = new DataView(new ArrayBuffer(16));
    settings.setFloat64(0, scale, true);
    settings.setUint32(8, divisor, true);
    signs.forEach((sign, at) => {
      settings.setInt8(12 + at, sign);
    });
    run(
      ptx,
      { grid: [2], block: [256] },
      [
        { buffer: reals, initialised: false },
        { buffer: words, initialised: false },
        { buffer: x },
        { bytes: new Uint8Array(settings.buffer) },
      ],
      { randomInterleaving: true },
      { kernel: "language" },
    );
    const table = [0.5, -1.25, 2.0, 3.5, -4.0, 5.75, 6.0, 7.125];
    const u32 = (word: bigint) => BigInt.asUintN(32, word);
    for (let thread = 0; thread < threads; thread++) {
      const block = x.subarray(thread & ~255, (thread & ~255) + 256);
      const total = block.reduce((sum, v) => sum + v * scale, 0);
      expect(reals[2 * thread]).toBeCloseTo(Math.sqrt(total * total + 1) / (1 + thread), 9);
      const value = x[thread]!;
      const bounded = Math.min(Math.max(value, -3), 3);
      const away = Math.sign(bounded) * Math.round(Math.abs(bounded));
      const expected =
        Math.exp(bounded) +
        Math.log1p(Math.abs(bounded)) * table[thread % 8]! +
        Math.tanh(bounded) -
        Math.sqrt(Math.abs(value)) +
        Math.trunc(value) +
        away +
        (thread % 7);
      expect(Math.abs(reals[2 * thread + 1]! - expected)).toBeLessThan(1e-4);

      const t = BigInt(thread);
      let word = u32((t / BigInt(divisor)) * 1000003n + (t % BigInt(divisor)));
      const bitsOf = thread.toString(2);
      const reversed = BigInt(`0b${bitsOf.padStart(32, "0").split("").reverse().join("")}`);
      word ^= u32(
        ((word * 0xd2511f53n) >> 32n) +
          BigInt(bitsOf.replaceAll("0", "").length + Math.clz32(thread)) +
          reversed,
      );
      word = u32(word + (BigInt.asUintN(64, t * 0x9e3779b97f4a7c15n) >> 29n) + (t * -77n) / 13n);
      if (thread % 4 === 0) word = u32((word << 3n) | (word >> 29n));
      else if (thread % 4 === 1) word = u32(word + BigInt(signs[1]!));
      else if (thread % 4 === 2) {
        const both = (t << 32n) | word;
        word = [1n, 4n, 0n, 5n].reduce(
          (sum, at, k) => sum | (((both >> (8n * at)) & 255n) << BigInt(8 * k)),
          0n,
        );
      } else if (BigInt.asIntN(32, word) < -5n) word = u32(-5n);
      const warp = thread & ~31;
      if (Array.from({ length: 32 }, (_, lane) => (warp + lane) % 96 === 5).includes(true)) word += 17n;
      expect(words[thread]).toBe(Number(u32(word + BigInt(signs[thread % 2 ? 2 : 3]!))));
    }
  });
});
