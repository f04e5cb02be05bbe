/** The backend's library as it ships: every kernel compiled for every architecture, and what becomes of it without a GPU. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { nvccMissing, skipReason } from "../emulator/nvcc.js";
import { type CompiledKernel, parsePtxasReport, warpsByRegisters } from "./ptxas-report.js";

const root = path.resolve(import.meta.dirname, "../..");
const build = path.join(root, "build");
const reports = path.join(build, "cuda/sightline_cuda");
const architectures = ["sm_80", "sm_90"];

/** Most registers of a kernel's threads, by what its name contains; the others get by with `usualRegisters`. */
const moreRegisters: readonly (readonly [RegExp, number])[] = [
  // Tiles of sums in registers: that is what makes them fast, at 8 warps per multiprocessor.
  [/attention_backward_(key|query)_tile_kernel/, 255],
  [/attention_tile_kernel/, 232],
  [/attention_decode_part_kernel/, 136],
];
const usualRegisters = 128;

describe.skipIf(nvccMissing)(`the CUDA library${skipReason}`, () => {
  let kernels: CompiledKernel[];
  beforeAll(() => {
    const { status, stderr, stdout } = spawnSync(process.execPath, ["scripts/build-cuda.mjs"], {
      cwd: root,
      encoding: "utf8",
      maxBuffer: 2 ** 26,
    });
    if (status !== 0) throw new Error(`npm run build:cuda failed:\n${stdout}${stderr}`);
    const sources = ["native/ops", "native/cuda"]
      .flatMap((folder) => readdirSync(path.join(root, folder)))
      .filter((name) => name.endsWith(".cu"));
    kernels = sources.flatMap((source) =>
      parsePtxasReport(readFileSync(path.join(reports, source.replace(/\.cu$/, ".ptxas.txt")), "utf8")),
    );
  }, 1_800_000);

  test("has every kernel for every architecture", () => {
    const names = (architecture: string) =>
      kernels.filter((kernel) => kernel.architecture === architecture).map(({ name }) => name);
    expect(names("sm_80").length).toBeGreaterThan(60);
    for (const architecture of architectures)
      expect(new Set(names(architecture))).toEqual(new Set(names("sm_80")));
    expect(kernels).toHaveLength(architectures.length * names("sm_80").length);
  });

  test("spills nothing and keeps nothing in local memory", () => {
    expect(kernels.filter(({ stackBytes, spillBytes }) => stackBytes > 0 || spillBytes > 0)).toEqual([]);
  });

  test("stays within the registers and the shared memory that its kernels are meant to take", () => {
    const limit = ({ name }: CompiledKernel) =>
      moreRegisters.find(([pattern]) => pattern.test(name))?.[1] ?? usualRegisters;
    const excess = kernels.filter(
      (kernel) => kernel.registers > limit(kernel) || kernel.sharedBytes > 48 * 1024,
    );
    expect(
      excess.map(({ name, architecture, registers, sharedBytes }) => ({
        name,
        architecture,
        registers,
        sharedBytes,
      })),
    ).toEqual([]);
  });

  test("leaves a multiprocessor room for 8 warps of any kernel", () => {
    const crowded = kernels.filter(({ registers }) => warpsByRegisters(registers) < 8);
    expect(crowded).toEqual([]);
  });

  test("is stripped, and says on a machine without a GPU what is missing", () => {
    const file = ["Release", "Debug"]
      .map((type) => path.join(build, type, "libsightline_cuda.so"))
      .find(existsSync)!;
    expect(statSync(file).size).toBeLessThan(64 * 2 ** 20);
    expect(spawnSync("nm", [file], { encoding: "utf8" }).stderr).toContain("no symbols");
    if (existsSync("/dev/nvidia0")) return;
    const doctor = spawnSync(process.execPath, ["dist/src/cli/main.js", "doctor"], {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, SIGHTLINE_CUDA_LIBRARY: file },
    });
    expect(doctor.stdout).toMatch(/driver/i);
    expect(doctor.signal).toBeNull();
  });
});

describe("the report of ptxas", () => {
  const report = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z1kPf' for 'sm_80'
ptxas info    : Function properties for _Z1kPf
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 223 registers, used 1 barriers, 2048 bytes smem, 368 bytes cmem[0]
ptxas info    : Compile time = 10.2 ms
`;

  test("is read figure by figure", () => {
    expect(parsePtxasReport(report)).toEqual([
      {
        name: "_Z1kPf",
        architecture: "sm_80",
        registers: 223,
        sharedBytes: 2048,
        stackBytes: 16,
        spillBytes: 20,
      },
    ]);
    expect(() => parsePtxasReport(report.replace("Used 223 registers", ""))).toThrow("figures");
  });

  test("gives the warps that fit", () => {
    expect([32, 33, 128, 168, 223, 255].map(warpsByRegisters)).toEqual([64, 51, 16, 12, 9, 8]);
  });
});
