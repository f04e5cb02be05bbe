import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { checkResults, gpuLayout, runOn } from "../../bench/kernels/check.js";
import { MissingDeviceError, openDevice, parseDevice } from "../../bench/kernels/gpu.js";
import { type KernelCase, widened } from "../../bench/kernels/kernel-case.js";
import { kernelCases, measureKernels } from "../../bench/kernels/measure.js";
import { runBench } from "../../bench/program.js";
import { parseResults } from "../../bench/results.js";
import { testingAddon } from "../../bench/testing-addon.js";
import { gpus } from "../../src/train/gpus.js";
import { withoutCuda } from "../emulated-cuda.js";
import { temporaryFolder } from "../train/temporary-folder.js";

const reference = { cpu: testingAddon.availableIsas().at(-1)!, threads: 2 };

async function bench(...args: string[]): Promise<string> {
  const lines: string[] = [];
  await runBench(args, (line) => lines.push(line));
  return lines.join("\n");
}

function caseNamed(id: string): KernelCase {
  const found = kernelCases(["reduced"], false).find((one) => one.id === id);
  if (found === undefined) throw new Error(`there is no case ${id}`);
  return found;
}

describe("kernel cases", () => {
  test.each([["paper"], ["small"], ["reduced"]] as const)(
    "of scale %s have every op and ids of their own",
    (scale) => {
      const cases = kernelCases([scale], false);
      expect(new Set(cases.map(({ op }) => op))).toEqual(new Set(testingAddon.opNames()));
      expect(new Set(cases.map(({ id }) => id)).size).toBe(cases.length);
      const quick = kernelCases([scale], true);
      expect(new Set(quick.map(({ op }) => op))).toEqual(new Set(testingAddon.opNames()));
      expect(quick.length < cases.length).toBe(scale !== "paper");
    },
  );

  test("have the sizes that their ids say", () => {
    for (const one of kernelCases(["reduced"], true)) {
      const { shape } = testingAddon.opWork(
        one.op,
        one.arguments(gpuLayout, () => {}),
      );
      expect(one.id.split("/").at(-2), one.id).toBe(shape.join("x"));
    }
  });

  test("have the paper's sizes and those of the model that ships", () => {
    const ids = kernelCases(["paper", "small"], true).map(({ id }) => id);
    expect(ids).toEqual(
      expect.arrayContaining([
        "kernels/matmul/paper/gate-up/3500x28672x4096/bf16",
        "kernels/matmul/paper/decode-qkv/16x6144x4096/bf16",
        "kernels/attention/paper/decoder/3500x32x128/bf16",
        "kernels/attention/paper/vision/2308x16x64/bf16",
        "kernels/attention-decode/paper/876-keys/64x32x128/bf16",
        "kernels/linear-log-prob/paper/600x32000x4096/bf16",
        "kernels/rms-norm/small/2656x128/bf16",
      ]),
    );
  });
});

describe("results", () => {
  /** A case whose results the CPU has computed, in the GPU's layout. */
  function computed(id: string) {
    const one = caseNamed(id);
    const args = one.arguments(gpuLayout, runOn(reference));
    runOn(reference)(one.op, args);
    return { one, args };
  }

  test.each([
    ["kernels/rms-norm/reduced/438x1024/bf16", "y"],
    ["kernels/rms-norm-backward/reduced/438x1024/fp32", "dx"],
    ["kernels/gather-rows/reduced/74x1024/bf16", "y"],
  ])("of %s are refused with the element that is wrong", (id, output) => {
    const { one, args } = computed(id);
    checkResults(one, args, reference);
    const values = args[output] as Uint16Array | Float32Array;
    const last = values.length - 1;
    const right = values[last]!;
    // Of bfloat16 the bits: more than four units in the last place.
    values[last] = values instanceof Uint16Array ? right + 8 : right + 0.01;
    const place = new RegExp(`wrong result, not timed: ${output}.*${last}`);
    expect(() => checkResults(one, args, reference)).toThrow(place);
    values[last] = Number.NaN;
    if (values instanceof Float32Array) expect(() => checkResults(one, args, reference)).toThrow(place);
  });

  test("of a draw may be a neighbour in a few rows only", () => {
    const { one, args } = computed("kernels/sample/reduced/32x8000/fp32");
    const tokens = args.tokens as Int32Array;
    for (let row = 0; row < 3; row++) tokens[row]! += 1;
    checkResults(one, args, reference);
    tokens[3]! += 1;
    expect(() => checkResults(one, args, reference)).toThrow(
      "expected at most 3 elements other than the CPU's",
    );
  });

  test("of bf16 are held against the same numbers in fp32", () => {
    const args = caseNamed("kernels/kv-write/reduced/decode/32x2x128/bf16").arguments(gpuLayout, () => {});
    const wide = widened({ ...args, precision: "bf16" });
    expect(wide.precision).toBe("fp32");
    expect(new Set(wide.pages as object[]).size).toBe(32);
    const [bits, number] = [(args.qkv as Uint16Array)[5]!, (wide.qkv as Float32Array)[5]!];
    expect(new Uint32Array(Float32Array.of(number).buffer)[0]).toBe(bits * 65_536);
  });
});

describe("the device", () => {
  test("is cuda, cuda with a number, or the emulated one", async () => {
    expect(parseDevice("cuda")).toEqual({ index: 0, emulated: false });
    expect(parseDevice("cuda:3")).toEqual({ index: 3, emulated: false });
    expect(parseDevice("cuda-emulated")).toEqual({ index: 0, emulated: true });
    expect(parseDevice("cuda:x")).toBeUndefined();
    await expect(bench("kernels", "--device", "gpu")).rejects.toThrow(
      "expected cuda, cuda:<number> or cuda-emulated",
    );
    await expect(bench("kernels")).rejects.toThrow("--device");
  });

  // Before any library is opened: a process keeps the first.
  test("that is not there is named with the way out", async () => {
    process.env.SIGHTLINE_CUDA_LIBRARY = join(temporaryFolder(), "libsightline_cuda.so");
    const missing = bench("kernels", "--device", "cuda");
    await expect(missing).rejects.toThrow(MissingDeviceError);
    await expect(missing).rejects.toThrow(/libsightline_cuda\.so.*npm run build:cuda/s);
    if (withoutCuda !== "")
      await expect(bench("kernels", "--device", "cuda-emulated")).rejects.toThrow(/nvcc.*build-test-addon/s);
  });
});

describe.skipIf(withoutCuda !== "")(`npm run bench -- kernels${withoutCuda}`, () => {
  test("counts on the emulated GPU what the ops' work says, and what the kernels request", async () => {
    const folder = temporaryFolder();
    const json = join(folder, "kernels.json");
    const only =
      "/(rms-norm|attention|attention-decode|matmul)/reduced/(438x|decoder|219-keys/8x|gate-up/|decode-qkv/8x)";
    const output = await bench(
      "kernels",
      "--device",
      "cuda-emulated",
      "--quick",
      "--json",
      json,
      "--only",
      only,
    );
    expect(output).toContain("counted, not timed");
    const { machine, rows } = parseResults(await readFile(json, "utf8"), json);
    expect(machine.gpu).toMatchObject({ multiprocessors: 108, computeCapability: "8.0", ceilings: null });
    expect(rows.map(({ id }) => id)).toEqual([
      "kernels/matmul/reduced/gate-up/438x7168x1024/bf16",
      "kernels/matmul/reduced/decode-qkv/8x1536x1024/bf16",
      "kernels/attention/reduced/decoder/438x8x128/bf16",
      "kernels/attention-decode/reduced/219-keys/8x8x128/bf16",
      "kernels/rms-norm/reduced/438x1024/bf16",
    ]);
    for (const { id, value, note, counted } of rows) {
      expect([value, note], id).toEqual([null, null]);
      const one = caseNamed(id);
      const work = testingAddon.opWork(
        one.op,
        one.arguments(gpuLayout, () => {}),
      );
      expect(counted, id).toMatchObject({ flops: work.flops, bf16Flops: work.bf16Flops, bytes: work.bytes });
      const byCuBlasLt = id.includes("gate-up");
      expect(counted!.sectors! > 0, id).toBe(!byCuBlasLt);
      expect(counted!.sectors!).toBeGreaterThanOrEqual(counted!.idealSectors!);
      expect(counted!.sectors!).toBeLessThanOrEqual(1.05 * counted!.idealSectors!);
      if (one.op === "rms_norm")
        for (const [name, floor] of Object.entries(counted!.floors))
          expect(floor).toBe(work.bytes / gpus[name]!.bytesPerSecond);
    }
    // What must move, moves; some of it twice, from a cache.
    const norm = rows.at(-1)!.counted!;
    expect(32 * norm.sectors!).toBeGreaterThan(norm.bytes);
    expect(32 * norm.sectors!).toBeLessThan(3 * norm.bytes);
    expect(rows[0]!.counted!.floors["a100-80g"]).toBe((2 * 438 * 7168 * 1024) / 312e12);

    expect(await bench("report", json)).toContain("kernels.md");
    const page = await readFile(join(folder, "kernels.md"), "utf8");
    expect(page).toContain("## Kernels");
    expect(page).toContain("emulated NVIDIA A100");
    expect(page).toMatch(/\| floor a100-80g \| floor h100-80g \|/);
    expect(page).not.toContain("## Targets");
  });

  test("takes turns with cuBLASLt where there are times", async () => {
    const gpu = openDevice({ index: 0, emulated: true }, 2);
    const ceilings = {
      readGigabytesPerSecond: 1000,
      copyGigabytesPerSecond: 900,
      fp32GflopsPerSecond: 10_000,
      bf16GflopsPerSecond: 100_000,
    };
    const wants = (id: string) => /^kernels\/(matmul\/small\/decode-qkv\/16x|add\/small).*bf16$/.test(id);
    const rows = [];
    for await (const row of measureKernels({
      gpu,
      reference,
      ceilings,
      scales: ["small"] as const,
      repeats: 2,
      quick: false,
      wants,
    }))
      rows.push(row);
    expect(rows.map(({ note, peer }) => [note, peer])).toEqual([
      [null, "cuBLASLt"],
      [null, null],
    ]);
    for (const { value, gigabytesPerSecond, percentOfPeak, counted } of rows) {
      expect(gigabytesPerSecond! * value!).toBeCloseTo(counted!.bytes / 1e9, 12);
      expect((percentOfPeak! * value!) / 100).toBeCloseTo(counted!.bytes / 1e12, 12);
      expect(counted!.sectors).toBeNull();
    }
    expect(rows[0]!.ratio).toBeCloseTo(rows[0]!.peerValue! / rows[0]!.value!, 9);
  });

  test("measures ceilings with kernels that break no rule", () => {
    const gpu = openDevice({ index: 0, emulated: true }, 2);
    const measured = gpu.ceilings(2 ** 17 + 5, 3, 2);
    for (const figure of Object.values(measured)) expect(figure).toBeGreaterThan(0);
    expect(() => gpu.ceilings(1000, 3, 2)).toThrow("bytes: expected at least 16384, received 1000");
    expect(() => gpu.ceilings(2 ** 17, 0, 2)).toThrow("rounds");
    const traffic = Object.entries(testingAddon.emulator.traffic());
    const requested = (name: string) => traffic.find(([kernel]) => kernel.includes(name))![1];
    expect(requested("ceiling_copy_kernel").globalSectors).toBe((2 * 2 * 2 ** 17) / 32);
    for (const name of ["ceiling_copy", "ceiling_read", "ceiling_fp32"])
      expect(requested(`${name}_kernel`).globalSectors).toBe(requested(`${name}_kernel`).globalIdealSectors);
  });

  test("calls cuBLASLt where the op would not, and refuses a call that was released", () => {
    const gpu = openDevice({ index: 0, emulated: true }, 1);
    const one = kernelCases(["reduced"], true).find(({ id }) => id.includes("decode-qkv/8x"))!;
    const args = one.arguments(gpuLayout, () => {});
    const call = gpu.prepare("cublaslt", args);
    call.run();
    call.fetch();
    checkResults(one, args, reference);
    expect(testingAddon.emulator.traffic()).toEqual({});
    call.release();
    expect(() => call.run()).toThrow("has been released");
    expect(() => gpu.prepare("nothing", {})).toThrow('there is no op "nothing"');
    expect(() => gpu.prepare("gelu", {})).toThrow("gelu.x: missing");
  });
});
