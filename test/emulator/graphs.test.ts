import { beforeEach, describe, expect, test } from "vitest";
import {
  allocate,
  allocatePinned,
  copy,
  countRight,
  created,
  createEvent,
  createStream,
  download,
  emulator,
  errors,
  numbers,
  ok,
  poke,
  runtime,
  upload,
} from "./cuda.js";

const count = 32;
const bytes = 4 * count;

beforeEach(() => emulator.configure({}));

/** The graph of what `calls` asks of `stream`. */
function record(stream: bigint, calls: () => void): bigint {
  ok(runtime.cudaStreamBeginCapture!(stream, 0));
  calls();
  return created((out) => runtime.cudaStreamEndCapture!(stream, out));
}

const instantiate = (graph: bigint) => created((out) => runtime.cudaGraphInstantiate!(out, graph, 0));
const set = (to: bigint, value: number, stream: bigint) =>
  ok(runtime.cudaMemsetAsync!(to, value, bytes, stream));
const move = (to: bigint, from: bigint, stream: bigint) =>
  ok(runtime.cudaMemcpyAsync!(to, from, bytes, copy.within, stream));

describe("a recorded stream", () => {
  test("does nothing until its graph is launched, then as often as it is", () => {
    const stream = createStream();
    const [a, b] = [upload(numbers(count, () => 1)), upload(numbers(count, () => 2))];
    const graph = record(stream, () => move(b, a, stream));
    ok(runtime.cudaDeviceSynchronize!());
    expect(download(b, count)).toEqual(numbers(count, () => 2));
    const executable = instantiate(graph);
    ok(runtime.cudaGraphDestroy!(graph));
    for (const value of [5, 6]) {
      ok(
        runtime.cudaMemcpy!(
          a,
          numbers(count, () => value),
          bytes,
          copy.toDevice,
        ),
      );
      ok(runtime.cudaGraphLaunch!(executable, stream));
      expect(download(b, count, stream)).toEqual(numbers(count, () => value));
    }
    ok(runtime.cudaGraphExecDestroy!(executable));
    expect(runtime.cudaGraphLaunch!(executable, stream)).toBe(errors.invalidHandle);
  });

  test("reads pinned memory at each launch", () => {
    const stream = createStream();
    const pinned = allocatePinned(bytes);
    const a = allocate(bytes);
    const executable = instantiate(
      record(stream, () => ok(runtime.cudaMemcpyAsync!(a, pinned, bytes, copy.toDevice, stream))),
    );
    for (const value of [1, 2]) {
      poke(
        pinned,
        numbers(count, () => value),
      );
      ok(runtime.cudaGraphLaunch!(executable, stream));
      expect(download(a, count, stream)[0]).toBe(value);
    }
    ok(runtime.cudaFreeHost!(pinned));
  });

  test("forks to other streams by events and has to be joined", () => {
    const [stream, other] = [createStream(), createStream()];
    const [a, b, c] = [allocate(bytes), allocate(bytes), allocate(bytes)];
    const [fork, join] = [createEvent(), createEvent()];
    const calls = (joins: boolean) => {
      set(a, 0, stream);
      ok(runtime.cudaEventRecord!(fork, stream));
      ok(runtime.cudaStreamWaitEvent!(other, fork, 0));
      move(b, a, other);
      ok(runtime.cudaEventRecord!(join, other));
      if (joins) ok(runtime.cudaStreamWaitEvent!(stream, join, 0));
      move(c, b, stream);
    };
    const graph = record(stream, () => calls(true));
    const nodes = new BigUint64Array(1);
    ok(runtime.cudaGraphGetNodes!(graph, null, nodes));
    expect(nodes[0]).toBe(3n);
    ok(runtime.cudaGraphLaunch!(instantiate(graph), stream));
    expect(download(c, count, stream)).toEqual(numbers(count, () => 0));

    ok(runtime.cudaStreamBeginCapture!(stream, 0));
    calls(false);
    expect(runtime.cudaStreamEndCapture!(stream, new BigUint64Array(1))).toBe(errors.captureUnjoined);
  });

  test("keeps to the order of its edges alone: a missing one shows for many seeds", () => {
    const run = (withEdge: boolean) => () => {
      const [stream, other] = [createStream(), createStream()];
      const [a, b] = [upload(numbers(count, () => 1)), upload(numbers(count, () => 2))];
      const [fork, middle, join] = [createEvent(), createEvent(), createEvent()];
      const graph = record(stream, () => {
        ok(runtime.cudaEventRecord!(fork, stream));
        ok(runtime.cudaStreamWaitEvent!(other, fork, 0));
        set(a, 0, stream);
        ok(runtime.cudaEventRecord!(middle, stream));
        if (withEdge) ok(runtime.cudaStreamWaitEvent!(other, middle, 0));
        move(b, a, other);
        ok(runtime.cudaEventRecord!(join, other));
        ok(runtime.cudaStreamWaitEvent!(stream, join, 0));
      });
      ok(runtime.cudaGraphLaunch!(instantiate(graph), stream));
      return download(b, count, stream)[0]!;
    };
    expect(countRight(40, {}, 0, run(true))).toBe(40);
    const right = countRight(40, {}, 0, run(false));
    expect(right).toBeGreaterThan(5);
    expect(right).toBeLessThan(30);
  });

  test("runs launches of one executable one after the other, on whatever streams", () => {
    const run = () => {
      const [stream, other] = [createStream(), createStream()];
      const [a, b] = [upload(numbers(count, () => 1)), upload(numbers(count, () => 2))];
      const executable = instantiate(
        record(stream, () => {
          move(b, a, stream);
          set(a, 0, stream);
        }),
      );
      ok(runtime.cudaGraphLaunch!(executable, stream));
      ok(runtime.cudaGraphLaunch!(executable, other));
      return download(b, count, other)[0]!;
    };
    expect(countRight(30, {}, 0, run)).toBe(30);
  });

  test("can be replaced in an executable by one of the same shape only", () => {
    const stream = createStream();
    const [a, b, c] = [upload(numbers(count, () => 1)), upload(numbers(count, () => 2)), allocate(bytes)];
    const executable = instantiate(record(stream, () => move(c, a, stream)));
    const same = record(stream, () => move(c, b, stream));
    const info = new BigUint64Array(3);
    ok(runtime.cudaGraphExecUpdate!(executable, same, info));
    ok(runtime.cudaGraphLaunch!(executable, stream));
    expect(download(c, count, stream)[0]).toBe(2);
    const longer = record(stream, () => {
      move(c, b, stream);
      set(b, 0, stream);
    });
    expect(runtime.cudaGraphExecUpdate!(executable, longer, info)).toBe(errors.graphUpdateFailure);
    const other = record(stream, () => set(c, 0, stream));
    expect(runtime.cudaGraphExecUpdate!(executable, other, info)).toBe(errors.graphUpdateFailure);
  });
});

describe("what may not be recorded", () => {
  /** Records `call`, whose error must be `error`. @returns what ending the recording says */
  function spoil(call: (stream: bigint) => number, error: number): number {
    const stream = createStream();
    ok(runtime.cudaStreamBeginCapture!(stream, 0));
    expect(call(stream)).toBe(error);
    const graph = new BigUint64Array(1);
    const end = runtime.cudaStreamEndCapture!(stream, graph);
    expect(graph[0] === 0n).toBe(end !== 0);
    return end;
  }

  test("is refused and spoils the recording", () => {
    const event = createEvent();
    ok(runtime.cudaEventRecord!(event, createStream()));
    const cases: [(stream: bigint) => number, number][] = [
      [(stream) => runtime.cudaStreamSynchronize!(stream), errors.captureUnsupported],
      [(stream) => runtime.cudaStreamQuery!(stream), errors.captureUnsupported],
      [() => runtime.cudaDeviceSynchronize!(), errors.captureUnsupported],
      [() => runtime.cudaMalloc!(new BigUint64Array(1), 16), errors.captureUnsupported],
      [() => runtime.cudaFree!(null), errors.captureUnsupported],
      [(stream) => runtime.cudaStreamWaitEvent!(stream, event, 0), errors.captureIsolation],
    ];
    for (const [call, error] of cases) expect(spoil(call, error)).toBe(errors.captureInvalidated);
  });

  test("is the default stream, and what would wait for it", () => {
    expect(runtime.cudaStreamBeginCapture!(null, 0)).toBe(errors.captureUnsupported);
    const a = allocate(bytes);
    const stream = createStream(0);
    ok(runtime.cudaStreamBeginCapture!(stream, 0));
    expect(runtime.cudaMemset!(a, 0, bytes)).toBe(errors.captureImplicit);
    expect(runtime.cudaStreamEndCapture!(stream, new BigUint64Array(1))).toBe(errors.captureInvalidated);
  });

  test("is two recordings in one, or an event of one that is asked for", () => {
    const [first, second] = [createStream(), createStream()];
    const event = createEvent();
    ok(runtime.cudaStreamBeginCapture!(first, 2));
    ok(runtime.cudaStreamBeginCapture!(second, 2));
    ok(runtime.cudaEventRecord!(event, first));
    expect(runtime.cudaEventSynchronize!(event)).toBe(errors.capturedEvent);
    expect(runtime.cudaStreamWaitEvent!(second, event, 0)).toBe(errors.captureMerge);
    const status = new Int32Array(1);
    ok(runtime.cudaStreamIsCapturing!(first, status));
    expect(status[0]).toBe(1);
    ok(runtime.cudaMalloc!(new BigUint64Array(1), 16)); // a relaxed recording does not forbid it
  });
});
