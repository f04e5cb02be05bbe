import { beforeEach, describe, expect, test } from "vitest";
import {
  allocate,
  allocatePinned,
  copy,
  countRight,
  createEvent,
  createStream,
  download,
  emulator,
  errors,
  numbers,
  ok,
  peek,
  poke,
  runtime,
  upload,
} from "./cuda.js";

const count = 64;
const bytes = 4 * count;

beforeEach(() => emulator.configure({}));

/** Moves sevens to `b` on one stream through `a`, written on another. @returns what arrives */
function handOver(withWait: boolean): number {
  const [producer, consumer] = [createStream(), createStream()];
  const a = upload(numbers(count, () => 1));
  const b = allocate(bytes);
  ok(
    runtime.cudaMemcpyAsync!(
      a,
      numbers(count, () => 7),
      bytes,
      copy.toDevice,
      producer,
    ),
  );
  const event = createEvent();
  ok(runtime.cudaEventRecord!(event, producer));
  if (withWait) ok(runtime.cudaStreamWaitEvent!(consumer, event, 0));
  ok(runtime.cudaMemcpyAsync!(b, a, bytes, copy.within, consumer));
  return download(b, count, consumer)[count - 1]!;
}

/** Uploads from one pinned buffer twice. @returns what the first upload brought */
function stageTwice(waitBetween: boolean): number {
  const stream = createStream();
  const staging = allocatePinned(bytes);
  const [first, second] = [allocate(bytes), allocate(bytes)];
  poke(
    staging,
    numbers(count, () => 1),
  );
  ok(runtime.cudaMemcpyAsync!(first, staging, bytes, copy.toDevice, stream));
  if (waitBetween) ok(runtime.cudaStreamSynchronize!(stream));
  poke(
    staging,
    numbers(count, () => 2),
  );
  ok(runtime.cudaMemcpyAsync!(second, staging, bytes, copy.toDevice, stream));
  const arrived = download(first, count, stream)[0]!;
  ok(runtime.cudaFreeHost!(staging));
  return arrived;
}

describe("streams that run late", () => {
  const seeds = 40;

  test("give the right result for every seed when the program says what it waits for", () => {
    expect(countRight(seeds, {}, 7, () => handOver(true))).toBe(seeds);
    expect(countRight(seeds, {}, 1, () => stageTwice(true))).toBe(seeds);
  });

  test("show a dropped event wait for many seeds, which eager order never does", () => {
    expect(countRight(seeds, {}, 7, () => handOver(false))).toBeLessThan(seeds / 2);
    expect(countRight(seeds, { lazy: 0 }, 7, () => handOver(false))).toBe(seeds);
  });

  test("show a pinned buffer that is reused too early for most seeds, which eager order never does", () => {
    expect(countRight(seeds, {}, 1, () => stageTwice(false))).toBeLessThan(seeds / 4);
    expect(countRight(seeds, { lazy: 0 }, 1, () => stageTwice(false))).toBe(seeds);
  });

  test("repeat themselves for the same seed", () => {
    const results = (seed: number) =>
      Array.from({ length: 8 }, () => {
        emulator.configure({ seed });
        return handOver(false);
      });
    for (let seed = 1; seed <= 5; ++seed) expect(new Set(results(seed)).size).toBe(1);
  });

  test("write pinned memory when they get there, not before", () => {
    emulator.configure({ seed: 3 });
    const stream = createStream();
    const a = upload(numbers(count, () => 5));
    const pinned = allocatePinned(bytes);
    poke(
      pinned,
      numbers(count, () => -1),
    );
    let late = 0;
    for (let repeat = 0; repeat < 20; ++repeat) {
      ok(runtime.cudaMemcpyAsync!(pinned, a, bytes, copy.toHost, stream));
      if (peek(pinned, 1)[0] === -1) ++late;
      ok(runtime.cudaStreamSynchronize!(stream));
      expect(peek(pinned, 1)[0]).toBe(5);
      poke(
        pinned,
        numbers(count, () => -1),
      );
    }
    expect(late).toBeGreaterThan(10);
    ok(runtime.cudaFreeHost!(pinned));
  });

  test("take pageable memory at once: it may be reused when the call returns", () => {
    const stream = createStream();
    const a = allocate(bytes);
    const source = numbers(count, () => 4);
    ok(runtime.cudaMemcpyAsync!(a, source, bytes, copy.toDevice, stream));
    source.fill(9);
    expect(download(a, count, stream)).toEqual(numbers(count, () => 4));
  });
});

describe("the default stream", () => {
  test("is ordered against blocking streams and not against the others", () => {
    const run = (flags: number) => () => {
      const stream = createStream(flags);
      const a = upload(numbers(count, () => 1));
      ok(
        runtime.cudaMemcpyAsync!(
          a,
          numbers(count, () => 2),
          bytes,
          copy.toDevice,
          stream,
        ),
      );
      return download(a, count, null)[0]!;
    };
    expect(countRight(30, {}, 2, run(0))).toBe(30);
    expect(countRight(30, {}, 2, run(1))).toBeLessThan(30);
  });

  test("holds back blocking streams in turn", () => {
    const run = () => {
      const stream = createStream(0);
      const a = upload(numbers(count, () => 1));
      ok(runtime.cudaMemsetAsync!(a, 0, bytes, null));
      return download(a, count, stream)[0]!;
    };
    expect(countRight(30, {}, 0, run)).toBe(30);
  });
});

describe("events", () => {
  test("are not ready before their work and are ready after", () => {
    emulator.configure({ seed: 2 });
    const stream = createStream();
    const event = createEvent();
    expect(runtime.cudaEventQuery!(event)).toBe(0); // never recorded
    const a = allocate(bytes);
    let polls = 0;
    for (let i = 0; i < 8; ++i) ok(runtime.cudaMemsetAsync!(a, i, bytes, stream));
    ok(runtime.cudaEventRecord!(event, stream));
    while (runtime.cudaEventQuery!(event) === errors.notReady) ++polls;
    expect(polls).toBeGreaterThan(0);
    expect(runtime.cudaGetLastError!()).toBe(errors.notReady);
    expect(runtime.cudaGetLastError!()).toBe(0);
    expect(runtime.cudaStreamQuery!(stream)).toBe(0);
  });

  test("tell the time between them only when both are recorded and done", () => {
    const stream = createStream();
    const [start, end] = [createEvent(), createEvent()];
    const elapsed = new Float32Array(1);
    expect(runtime.cudaEventElapsedTime!(elapsed, start, end)).toBe(errors.invalidHandle);
    ok(runtime.cudaEventRecord!(start, stream));
    ok(runtime.cudaEventRecord!(end, stream));
    ok(runtime.cudaEventSynchronize!(end));
    ok(runtime.cudaEventElapsedTime!(elapsed, start, end));
    expect(elapsed[0]).toBeGreaterThanOrEqual(0);
  });

  test("make a stream wait for what was recorded when it asked, not for later records", () => {
    const [first, second] = [createStream(), createStream()];
    const event = createEvent();
    ok(runtime.cudaEventRecord!(event, first));
    ok(runtime.cudaStreamWaitEvent!(second, event, 0));
    ok(runtime.cudaEventRecord!(event, second)); // would wait for itself otherwise
    ok(runtime.cudaStreamSynchronize!(second));
  });
});

describe("handles", () => {
  test("that were destroyed, or never were, are refused", () => {
    const stream = createStream();
    const event = createEvent();
    ok(runtime.cudaStreamDestroy!(stream));
    ok(runtime.cudaEventDestroy!(event));
    expect(runtime.cudaStreamSynchronize!(stream)).toBe(errors.invalidHandle);
    expect(runtime.cudaEventRecord!(event, null)).toBe(errors.invalidHandle);
    expect(runtime.cudaEventDestroy!(event)).toBe(errors.invalidHandle);
    expect(runtime.cudaStreamDestroy!(null)).toBe(errors.invalidHandle);
  });

  test("of streams may be destroyed with work queued, which still runs", () => {
    emulator.configure({ seed: 5 });
    const stream = createStream();
    const a = allocate(bytes);
    ok(runtime.cudaMemsetAsync!(a, 0, bytes, stream));
    ok(runtime.cudaStreamDestroy!(stream));
    ok(runtime.cudaDeviceSynchronize!());
    expect(download(a, count)).toEqual(numbers(count, () => 0));
  });
});
