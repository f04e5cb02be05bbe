import { beforeEach, describe, expect, test } from "vitest";
import {
  allocate,
  copy,
  countRight,
  createEvent,
  createStream,
  download,
  emulator,
  errors,
  float,
  int,
  type Kernels,
  numbers,
  ok,
  openKernels,
  pointer,
  runtime,
  size,
  upload,
  withoutKernels,
} from "./cuda.js";

const count = 256;
const bytes = 4 * count;

describe.skipIf(withoutKernels !== "")(`kernels compiled by nvcc${withoutKernels}`, () => {
  const kernels: Kernels = withoutKernels === "" ? openKernels() : (undefined as never);
  const launch = (
    name: string,
    blocks: number,
    threads: number,
    args: NodeJS.TypedArray[],
    shared = 0,
    stream = 0n,
  ) => emulator.launch(emulator.kernel(name), size(blocks), size(threads), args, shared, stream);

  beforeEach(() => emulator.configure({}));

  test("compute, whatever the seed", () => {
    for (let seed = 1; seed <= 5; ++seed) {
      emulator.configure({ seed, randomInterleaving: 1, interpreterThreads: (seed % 2) + 1 });
      const x = upload(numbers(count, (i) => i));
      const y = upload(numbers(count, () => 1));
      ok(launch("axpy", 3, 96, [float(2), pointer(x), pointer(y), int(count)]));
      expect(download(y, count)).toEqual(numbers(count, (i) => 2 * i + 1));
    }
  });

  test("take structures and constants as arguments", () => {
    ok(kernels.setFactors(Float32Array.of(1, 10, 100, 1000)));
    const [x, y] = [upload(numbers(32, (i) => i)), allocate(128)];
    const pair = new DataView(new ArrayBuffer(16));
    pair.setFloat32(0, 0.5, true);
    pair.setBigUint64(8, x, true);
    ok(launch("scale_by_constant", 1, 32, [new Uint8Array(pair.buffer), pointer(y), int(2)]));
    expect(download(y, 32)).toEqual(numbers(32, (i) => 50 * i));
  });

  test("are launched by <<< >>> too, on a stream", () => {
    const stream = createStream();
    const y = allocate(bytes);
    ok(kernels.launchWithChevrons(y, count, stream));
    expect(download(y, count, stream)).toEqual(numbers(count, () => 3));
  });

  test("see an A100 in the toolkit's own structure of properties", () => {
    const name = new Uint8Array(64);
    expect(kernels.deviceName(name, 64)).toBe(80);
    expect(Buffer.from(name).toString()).toMatch(/emulated NVIDIA A100/);
  });

  test("are counted by name", () => {
    emulator.configure({ countTraffic: 1 });
    const y = allocate(bytes);
    for (let i = 0; i < 3; ++i) ok(launch("fill", 2, 128, [float(1), pointer(y), int(count)]));
    ok(runtime.cudaDeviceSynchronize!());
    expect(emulator.traffic()).toMatchObject({
      fill: {
        launches: 3,
        globalRequests: 24,
        globalBytesWritten: 3 * bytes,
        globalSectors: 96,
        globalIdealSectors: 96,
      },
    });
  });

  test("need what an A100 can give", () => {
    const [x, y] = [upload(numbers(2048, () => 1)), allocate(8192)];
    const reverse = (threads: number, shared: number) =>
      launch("reverse_blocks", 1, threads, [pointer(x), pointer(y)], shared);
    expect(reverse(1025, 8192)).toBe(errors.invalidConfiguration);
    expect(emulator.refusal()).toMatch(/reverse_blocks: block: expected 1 to 1024.*1025/);
    expect(reverse(0, 0)).toBe(errors.invalidConfiguration);
    expect(launch("reverse_blocks", 0, 32, [pointer(x), pointer(y)])).toBe(errors.invalidConfiguration);
    const z = (z: number) =>
      emulator.launch(
        emulator.kernel("fill"),
        size(1),
        size(1, 1, z),
        [float(1), pointer(y), int(0)],
        0,
        null,
      );
    expect([z(64), z(65)]).toEqual([0, errors.invalidConfiguration]);
    expect(launch("bounded", 1, 129, [pointer(y)])).toBe(errors.invalidValue);
    expect(emulator.refusal()).toMatch(/launch bounds allow 128/);
    expect(runtime.cudaGetLastError!()).toBe(errors.invalidValue);
    ok(runtime.cudaDeviceSynchronize!()); // a refused launch does not break the device
  });

  test("get more than 48 KiB of dynamic shared memory only after asking, and at most 163", () => {
    const [x, y] = [upload(numbers(32, (i) => i)), allocate(128)];
    const reverse = (shared: number) => launch("reverse_blocks", 1, 32, [pointer(x), pointer(y)], shared);
    const address = emulator.kernel("reverse_blocks");
    ok(reverse(48 << 10));
    expect(reverse((48 << 10) + 16)).toBe(errors.invalidValue);
    expect(emulator.refusal()).toMatch(/cudaFuncSetAttribute/);
    expect(runtime.cudaFuncSetAttribute!(address, 8, (163 << 10) + 1)).toBe(errors.invalidValue);
    ok(runtime.cudaFuncSetAttribute!(address, 8, 163 << 10));
    ok(reverse(163 << 10));
    expect(download(y, 32)).toEqual(numbers(32, (i) => 31 - i));
    expect(kernels.blocksPerMultiprocessor(256, 0)).toBe(8);
    expect(kernels.blocksPerMultiprocessor(256, 80 << 10)).toBe(2);
    expect(kernels.blocksPerMultiprocessor(256, 100 << 10)).toBe(1);
  });

  test("that break a rule break the device, with what, where and in which kernel", () => {
    const [x, y] = [upload(numbers(64, (i) => i)), allocate(256)];
    ok(launch("reverse_blocks_unordered", 1, 64, [pointer(x), pointer(y)], 256));
    expect(runtime.cudaDeviceSynchronize!()).toBe(errors.launchFailure);
    expect(emulator.violation(0)).toMatch(/reverse_blocks_unordered.*runtime_kernels\.cu/s);
    expect(runtime.cudaGetLastError!()).toBe(errors.launchFailure);
    expect(runtime.cudaMalloc!(new BigUint64Array(1), 4)).toBe(errors.launchFailure);
  });

  test("that leave their memory meet an illegal address", () => {
    const y = allocate(bytes);
    ok(launch("fill", 3, 128, [float(1), pointer(y), int(count + 1)]));
    expect(runtime.cudaDeviceSynchronize!()).toBe(errors.illegalAddress);
    expect(emulator.violation(0)).toMatch(/fill/);
  });

  test("that read what nobody wrote, or what was freed, are found", () => {
    const [x, y] = [allocate(bytes), upload(numbers(count, () => 0))];
    const axpy = () => launch("axpy", 2, 128, [float(1), pointer(x), pointer(y), int(count)]);
    ok(axpy());
    expect(runtime.cudaDeviceSynchronize!()).toBe(errors.launchFailure);
    expect(emulator.violation(0)).toMatch(/uninitialised/);

    emulator.configure({});
    const z = allocate(bytes);
    ok(runtime.cudaFree!(z));
    ok(launch("fill", 2, 128, [float(1), pointer(z), int(count)]));
    expect(runtime.cudaDeviceSynchronize!()).toBe(errors.illegalAddress);
  });

  test("are found to use memory that is freed while they are queued", () => {
    for (let seed = 1; seed <= 8; ++seed) {
      emulator.configure({ seed });
      const y = allocate(bytes);
      ok(launch("fill", 2, 128, [float(1), pointer(y + 16n), int(8)], 0, createStream()));
      if (runtime.cudaFree!(y) === 0) continue;
      expect(emulator.violation(0)).toMatch(/cudaFree: frees 1024 bytes.*kernel fill/);
      return;
    }
    expect.unreachable("the kernel ran early for every seed");
  });

  test("that are none, or are called without arguments, are refused", () => {
    expect(emulator.launch(0x1234n, size(1), size(1), [], 0, null)).toBe(errors.invalidDeviceFunction);
  });

  test("on two streams without an event show it for most seeds", () => {
    const run = (withWait: boolean) => () => {
      const [first, second] = [createStream(), createStream()];
      const y = upload(numbers(count, () => 0));
      const event = createEvent();
      ok(launch("fill", 2, 128, [float(5), pointer(y), int(count)], 0, first));
      ok(runtime.cudaEventRecord!(event, first));
      if (withWait) ok(runtime.cudaStreamWaitEvent!(second, event, 0));
      ok(launch("axpy", 2, 128, [float(1), pointer(y), pointer(y), int(count)], 0, second));
      return download(y, count, second)[0]!;
    };
    expect(countRight(30, {}, 10, run(true))).toBe(30);
    expect(countRight(30, {}, 10, run(false))).toBeLessThan(15);
    expect(countRight(30, { lazy: 0 }, 10, run(false))).toBe(30);
  });

  test("keep their arguments as they were when they were launched", () => {
    const y = allocate(bytes);
    const value = float(1);
    const stream = createStream();
    ok(launch("fill", 2, 128, [value, pointer(y), int(count)], 0, stream));
    value[0] = 2;
    expect(download(y, count, stream)).toEqual(numbers(count, () => 1));
    ok(
      runtime.cudaMemcpy!(
        y,
        numbers(count, () => 0),
        bytes,
        copy.toDevice,
      ),
    );
  });
});
