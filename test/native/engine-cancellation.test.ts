import { getEventListeners } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/native/engine.js";
import {
  createTinyEngine,
  everything,
  expectFailure,
  longBatch,
  rejection,
  request,
  sequence,
} from "./tiny-engine.js";

let engine: Engine;
beforeAll(async () => {
  engine = await createTinyEngine();
});
afterAll(() => engine.dispose());

describe("an abort signal", () => {
  const reason = new Error("changed my mind");
  /** Gives the engine so much to do that nothing behind it can be done before this thread gets to abort it. */
  const occupy = () =>
    Promise.all(Array.from({ length: 10 }, () => engine.forward(longBatch(), { keepTape: false })));

  test("that is aborted already keeps the call from being made", async () => {
    expect(await rejection(engine.generate(request(), AbortSignal.abort(reason)))).toBe(reason);
    expect(await rejection(engine.forward([sequence(1)], {}, AbortSignal.abort(reason)))).toBe(reason);
  });

  test("ends requests in flight with its reason and leaves the others alone", async () => {
    const expected = await engine.generate(request());
    const controller = new AbortController();
    const blocking = occupy();
    const aborted = Array.from({ length: 5 }, () => rejection(engine.generate(request(), controller.signal)));
    const kept = engine.generate(request());
    controller.abort(reason);
    for (const outcome of await Promise.all(aborted)) expect(outcome).toBe(reason);
    expect(await kept).toEqual(expected);
    await blocking;
  });

  test("ends a forward that waits for its turn", async () => {
    const controller = new AbortController();
    const blocking = occupy();
    const waiting = rejection(engine.forward([sequence(1)], {}, controller.signal));
    controller.abort(reason);
    expect(await waiting).toBe(reason);
    await blocking;
  });

  test("is let go of when the call is done, whether it succeeded or failed", async () => {
    const { signal } = new AbortController();
    await engine.generate(request(), signal);
    await rejection(engine.generate(request({ maxNewTokens: -1 }), signal));
    await engine.forward([sequence(1)], { keepTape: false }, signal);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("carries one listener, however many calls it is given to, and ends them all", async () => {
    const controller = new AbortController();
    const blocking = occupy();
    const calls = Array.from({ length: 40 }, () => rejection(engine.generate(request(), controller.signal)));
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(1);
    controller.abort(reason);
    for (const outcome of await Promise.all(calls)) expect(outcome).toBe(reason);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    await blocking;
  });

  test("that is aborted after the end changes nothing", async () => {
    const controller = new AbortController();
    const completion = await engine.generate(request(), controller.signal);
    controller.abort(reason);
    expect(await engine.generate(request())).toEqual(completion);
  });
});

describe("dispose", () => {
  let disposable: Engine | undefined;
  afterEach(() => disposable?.dispose());

  test("rejects every later call with DISPOSED, and may be called again", async () => {
    disposable = await createTinyEngine();
    disposable.dispose();
    disposable.dispose();
    const gone = disposable;
    const message = "the engine is disposed; create a new one";
    await expectFailure(gone.generate(request()), "DISPOSED", message);
    await expectFailure(gone.forward([sequence(1)]), "DISPOSED", message);
    await expectFailure(gone.step({ groups: [everything] }), "DISPOSED", message);
    await expectFailure(gone.save({ model: "never" }), "DISPOSED", message);
    expect(() => gone.memory()).toThrow(expect.objectContaining({ code: "DISPOSED" }));
    expect(() => gone.parameters()).toThrow(expect.objectContaining({ code: "DISPOSED" }));
  });

  test("while calls run rejects them all with DISPOSED", async () => {
    disposable = await createTinyEngine();
    const running = disposable;
    const calls = [
      running.forward(longBatch()),
      running.step({ groups: [everything] }),
      ...Array.from({ length: 20 }, () => running.generate(request())),
    ].map(rejection);
    running.dispose();
    for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: "DISPOSED" });
  });

  test("in the middle of a forward pass, and with a signal that fires afterwards, is safe", async () => {
    for (let delay = 0; delay < 5; delay++) {
      disposable = await createTinyEngine();
      const controller = new AbortController();
      const forward = rejection(disposable.forward(longBatch(), {}, controller.signal));
      for (let turn = 0; turn < 20 * delay; turn++) await nextTurn();
      disposable.dispose();
      controller.abort();
      expect(await forward).toMatchObject({ code: "DISPOSED" });
    }
  });
});
