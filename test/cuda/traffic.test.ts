/**
 * What the kernels' accesses cost, as the emulator counts it, beside what they have to cost: at the shapes of models of 7 B
 * parameters, cut to few rows. Widths that are no multiple of 16 bytes are left out, on purpose: their rows begin within sectors,
 * so that every row shares a sector with its neighbours and is read element by element; no model has them.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { withoutCuda } from "../emulated-cuda.js";
import { emulator } from "../emulator/cuda.js";
import { cudaEmulated as backend, opNames, opWork } from "../ops/native-ops.js";
import { attentionCases } from "./traffic/attention-cases.js";
import { type Bytes, sector, type TrafficCase } from "./traffic/case.js";
import { productCases } from "./traffic/product-cases.js";
import { rowCases } from "./traffic/row-cases.js";

/** Most sectors of global memory and wavefronts of shared memory, as multiples of the least. */
const [mostSectors, mostWavefronts] = [1.05, 1.1];

const cases = [...rowCases, ...productCases, ...attentionCases];

/** Its kernels are those of `patch_embed` and `sum_rows`. */
const opsWithoutKernels = ["patch_embed_backward"];

interface Counted {
  sectors: number;
  /** Sectors that would hold the distinct bytes of each request. */
  idealSectors: number;
  wavefronts: number;
  idealWavefronts: number;
}

const total = (bytes: Bytes = {}) => Object.values(bytes).reduce((sum, part) => sum + part, 0);

/** Counters by kernel; those of a template add up. */
function run({ op, args }: TrafficCase): Record<string, Counted> {
  emulator.configure({ countTraffic: 1 });
  backend.run(op, args, 2);
  const counted: Record<string, Counted> = {};
  for (const [mangled, traffic] of Object.entries(emulator.traffic())) {
    const name = /\d([a-z_]+_kernel)/.exec(mangled)?.[1] ?? mangled;
    const sum = counted[name] ?? { sectors: 0, idealSectors: 0, wavefronts: 0, idealWavefronts: 0 };
    counted[name] = {
      sectors: sum.sectors + traffic.globalSectors!,
      idealSectors: sum.idealSectors + traffic.globalIdealSectors!,
      wavefronts: sum.wavefronts + traffic.sharedWavefronts!,
      idealWavefronts: sum.idealWavefronts + traffic.sharedIdealWavefronts!,
    };
  }
  emulator.configure({});
  return counted;
}

describe.skipIf(withoutCuda !== "").each(cases.map((c) => [c.op, c.title, c] as const))(
  `the traffic of %s, %s${withoutCuda}`,
  (_op, _title, c) => {
    let counted: Record<string, Counted>;
    beforeAll(() => {
      counted = run(c);
    }, 60_000);

    test("is that of the kernels in the table", () => {
      expect(Object.keys(counted).sort()).toEqual(Object.keys(c.kernels).sort());
      if (c.multiplies) return;
      const once = Object.values(c.kernels).map((kernel) => total(kernel.once));
      expect(once.reduce((sum, bytes) => sum + bytes)).toBe(opWork(c.op, c.args).bytes);
    });

    test.each(Object.entries(c.kernels))(
      "of %s is hardly more than it has to be",
      (name, { once, again }) => {
        const { sectors, idealSectors, wavefronts, idealWavefronts } = counted[name]!;
        const needed = (total(once) + total(again)) / sector;
        expect(sectors / needed, "sectors of global memory per sector needed").toBeLessThanOrEqual(
          mostSectors,
        );
        expect(
          sectors / idealSectors,
          "sectors per request, as a multiple of those that its bytes fill",
        ).toBeLessThanOrEqual(mostSectors);
        if (idealWavefronts > 0)
          expect(wavefronts / idealWavefronts, "wavefronts of shared memory").toBeLessThanOrEqual(
            mostWavefronts,
          );
      },
    );
  },
);

describe("the table of traffic", () => {
  const native = path.resolve(import.meta.dirname, "../../native");
  const kernels = ["ops", "cuda"].flatMap((folder) =>
    readdirSync(path.join(native, folder))
      // Kernels that measure what a GPU can do belong to no op.
      .filter((name) => /\.cuh?$/.test(name) && name !== "ceilings.cu")
      .flatMap((name) => {
        const source = readFileSync(path.join(native, folder, name), "utf8");
        return [...source.matchAll(/__global__[^;{]*?\b([a-z_]+_kernel)\(/g)].map((match) => match[1]!);
      }),
  );

  test("has every kernel and every op", () => {
    expect(existsSync(native)).toBe(true);
    expect(kernels.length).toBeGreaterThan(30);
    const measured = new Set(cases.flatMap((c) => Object.keys(c.kernels)));
    expect(kernels.filter((name) => !measured.has(name))).toEqual([]);
    const ops = new Set([...cases.map(({ op }) => op), ...opsWithoutKernels]);
    expect(opNames.filter((name) => !ops.has(name))).toEqual([]);
  });
});
