import { beforeEach, describe, expect, test } from "vitest";
import {
  allocate,
  allocatePinned,
  copy,
  createStream,
  download,
  emulator,
  errors,
  numbers,
  ok,
  peek,
  runtime,
  upload,
} from "./cuda.js";

beforeEach(() => emulator.configure({}));

describe("device memory", () => {
  test("is refused beyond the budget, and counted", () => {
    emulator.configure({ memoryBudgetBytes: 1000 });
    const a = allocate(600);
    const out = new BigUint64Array(1);
    expect(runtime.cudaMalloc!(out, 401)).toBe(errors.memoryAllocation);
    expect(out[0]).toBe(0n);
    expect(emulator.refusal()).toMatch(/401 bytes.*600.*1000/);
    const b = allocate(400);
    ok(runtime.cudaFree!(a));
    expect(emulator.memory(0)).toMatchObject({ currentBytes: 400, peakBytes: 1000, allocations: 1 });
    const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
    ok(runtime.cudaMemGetInfo!(free, total));
    expect([free[0], total[0]]).toEqual([600n, 1000n]);
    ok(runtime.cudaFree!(b));
    expect(runtime.cudaGetLastError!()).toBe(errors.memoryAllocation);
    expect(runtime.cudaGetLastError!()).toBe(0);
  });

  test("is aligned to 256 bytes and not handed out again soon after it was freed", () => {
    const seen = new Set<bigint>();
    for (let i = 0; i < 50; ++i) {
      const pointer = allocate(100);
      expect(pointer % 256n).toBe(0n);
      expect(seen.has(pointer)).toBe(false);
      seen.add(pointer);
      ok(runtime.cudaFree!(pointer));
    }
  });

  test("starts as NaN, and the host may not be given what nobody wrote", () => {
    const a = allocate(16);
    ok(runtime.cudaMemset!(a, 0, 12));
    expect(runtime.cudaMemcpy!(new Float32Array(4), a, 16, copy.toHost)).toBe(errors.launchFailure);
    expect(emulator.violation(0)).toMatch(/uninitialised.*16 bytes/);

    emulator.configure({ checks: 0 });
    expect(download(allocate(16), 4)).toEqual(numbers(4, () => Number.NaN));
  });

  test("stays uninitialised when it is copied within the device", () => {
    const [a, b] = [allocate(16), upload(numbers(4, () => 1))];
    ok(runtime.cudaMemset!(a, 0, 8));
    ok(runtime.cudaMemcpy!(b, a, 16, copy.within));
    expect(download(b, 2)).toEqual(numbers(2, () => 0));
    expect(runtime.cudaMemcpy!(new Float32Array(4), b, 16, copy.toHost)).toBe(errors.launchFailure);
  });

  test("that queued work still uses may not be freed", () => {
    // A seed with which the fill does not run by chance as soon as it is queued.
    for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
      emulator.configure({ seed });
      const a = allocate(64);
      const stream = createStream();
      ok(runtime.cudaMemsetAsync!(a, 0, 64, stream));
      const error = runtime.cudaFree!(a);
      if (error === 0) continue;
      expect(error).toBe(errors.launchFailure);
      expect(emulator.violation(0)).toMatch(/cudaFree: frees 64 bytes.*cudaMemsetAsync/);
      return;
    }
    expect.unreachable("the work ran early for every seed");
  });

  test("may be freed once its work was waited for", () => {
    const a = allocate(64);
    const stream = createStream();
    ok(runtime.cudaMemsetAsync!(a, 0, 64, stream));
    ok(runtime.cudaStreamSynchronize!(stream));
    ok(runtime.cudaFree!(a));
    expect(runtime.cudaFree!(a)).toBe(errors.invalidValue);
  });
});

describe("copies and fills", () => {
  test("are refused out of bounds, in a wrong direction, or from and to nowhere", () => {
    const a = allocate(64);
    const host = new Float32Array(32);
    expect(runtime.cudaMemcpy!(a, host, 68, copy.toDevice)).toBe(errors.invalidValue);
    expect(runtime.cudaMemcpy!(a + 4n, host, 64, copy.toDevice)).toBe(errors.invalidValue);
    expect(runtime.cudaMemcpy!(a, host, 64, copy.toHost)).toBe(errors.invalidValue);
    expect(emulator.refusal()).toMatch(/kind 2.*destination is device.*source host/);
    expect(runtime.cudaMemcpy!(host, host, 64, copy.toDevice)).toBe(errors.invalidValue);
    expect(runtime.cudaMemcpy!(null, host, 64, copy.toDevice)).toBe(errors.invalidValue);
    expect(runtime.cudaMemset!(a, 0, 65)).toBe(errors.invalidValue);
    ok(runtime.cudaMemcpy!(a, host, 64, copy.infer));
    ok(runtime.cudaMemcpy!(a, host, 0, copy.toDevice));
  });

  test("from memory that was freed meanwhile break the device until it is reset", () => {
    emulator.configure({ checks: 0, seed: 4 });
    const stream = createStream();
    const pinned = allocatePinned(64);
    const a = allocate(64);
    ok(runtime.cudaFree!(a));
    expect(runtime.cudaMemcpyAsync!(a, pinned, 64, copy.toDevice, stream)).toBe(errors.invalidValue);
    ok(runtime.cudaFreeHost!(pinned));
  });

  test("of a broken device answer with its error, which stays", () => {
    const a = allocate(16);
    expect(runtime.cudaMemcpy!(new Float32Array(4), a, 16, copy.toHost)).toBe(errors.launchFailure);
    expect(runtime.cudaMalloc!(new BigUint64Array(1), 16)).toBe(errors.launchFailure);
    expect(runtime.cudaGetLastError!()).toBe(errors.launchFailure);
    expect(runtime.cudaGetLastError!()).toBe(errors.launchFailure);
    emulator.configure({});
    ok(runtime.cudaDeviceSynchronize!());
  });
});

describe("pinned memory", () => {
  test("starts as NaN and is counted", () => {
    const before = emulator.memory(0).pinnedAllocations!;
    const pinned = allocatePinned(16);
    expect(peek(pinned, 4)).toEqual(numbers(4, () => Number.NaN));
    expect(emulator.memory(0).pinnedAllocations).toBe(before + 1);
    ok(runtime.cudaFreeHost!(pinned));
    expect(runtime.cudaFreeHost!(pinned)).toBe(errors.invalidValue);
  });
});

describe("devices", () => {
  test("are as many as the settings say, each with its own memory", () => {
    emulator.configure({ deviceCount: 2, memoryBudgetBytes: 100 });
    const value = new Int32Array(1);
    ok(runtime.cudaGetDeviceCount!(value));
    expect(value[0]).toBe(2);
    allocate(100);
    ok(runtime.cudaSetDevice!(1));
    const a = allocate(100);
    ok(runtime.cudaSetDevice!(0));
    expect(runtime.cudaFree!(a)).toBe(errors.invalidValue);
    expect(runtime.cudaSetDevice!(2)).toBe(errors.invalidDevice);
  });

  test("may be absent", () => {
    emulator.configure({ deviceCount: 0 });
    expect(runtime.cudaGetDeviceCount!(new Int32Array(1))).toBe(errors.noDevice);
    expect(runtime.cudaMalloc!(new BigUint64Array(1), 4)).toBe(errors.noDevice);
  });

  test("have the limits of an A100", () => {
    const value = new Int32Array(1);
    const attribute = (number: number) => {
      ok(runtime.cudaDeviceGetAttribute!(value, number, 0));
      return value[0];
    };
    expect([75, 76, 16, 97, 10].map(attribute)).toEqual([8, 0, 108, 163 * 1024, 32]);
    expect(runtime.cudaDeviceGetAttribute!(value, 9999, 0)).toBe(errors.invalidValue);
  });

  test("have errors with names", () => {
    expect(runtime.cudaGetErrorName(700)).toBe("cudaErrorIllegalAddress");
    expect(runtime.cudaGetErrorString(2)).toBe("out of memory");
    expect(runtime.cudaGetErrorName(12345)).toBe("unrecognized error code");
  });
});
