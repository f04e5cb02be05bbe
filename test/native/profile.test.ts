import { afterEach, describe, expect, test } from "vitest";
import type { Engine } from "../../src/native/engine.js";
import type { CompletedWork } from "./profiled-work.js";
import { workOnEverything } from "./profiled-work.js";
import { createTinyEngine, expectFailure, longBatch, rejection, sequence, tinySpec } from "./tiny-engine.js";

const engines: Engine[] = [];
async function newEngine(): Promise<Engine> {
  const engine = await createTinyEngine();
  engines.push(engine);
  return engine;
}
afterEach(() => {
  for (const engine of engines.splice(0)) engine.dispose();
});

describe("a profile", () => {
  test("leaves results as they are, bit for bit", async () => {
    const plain: CompletedWork = await workOnEverything(await newEngine());
    const profiled = await newEngine();
    const { result } = await profiled.profile(() => workOnEverything(profiled));
    expect(result).toEqual(plain);
  });

  test("has every op of the calls that ran, as often as they ran", async () => {
    const engine = await newEngine();
    const { profile } = await engine.profile(async () => {
      const scores = await engine.forward([sequence(3)]);
      await engine.backward(scores, { logProbs: new Float32Array(3).fill(1) });
      await engine.forward([sequence(3)], { keepTape: false });
    });
    const count = (op: string, call: string) =>
      profile.ops.find((totals) => totals.op === op && totals.call === call)?.calls;
    expect(profile.calls.filter(({ calls }) => calls > 0)).toMatchObject([
      { call: "forward", calls: 2, nestedMilliseconds: 0 },
      { call: "backward", calls: 1, nestedMilliseconds: 0 },
    ]);
    expect(count("linear_log_prob", "forward")).toBe(2);
    expect(count("linear_log_prob_backward", "backward")).toBe(1);
    // One layer each of vision and decoder.
    expect(count("attention", "forward")).toBe(4);
    expect(count("attention_backward", "backward")).toBe(2);
    expect(profile.ops.filter(({ op }) => op === "adamw")).toEqual([]);
    const { decoder } = tinySpec;
    expect(profile.ops.find(({ op }) => op === "linear_log_prob")).toMatchObject({
      flops: 2 * 2 * 3 * decoder.width * decoder.vocabularySize,
    });
  });

  test("has events in order, each within what encloses it, that add up to the totals", async () => {
    const engine = await newEngine();
    const { profile } = await engine.profile(() => workOnEverything(engine));
    const { kinds, startsMs, endsMs, flops, bytes, shapes } = profile.events;
    expect(profile.eventsLeftOut).toBe(0);
    expect(shapes).toHaveLength(4 * kinds.length);

    const enclosing: number[] = [];
    const nanosecondsOf = new Map<string, number>();
    let [lastStart, opMs] = [0, 0];
    kinds.forEach((kind, i) => {
      const [start, end] = [startsMs[i]!, endsMs[i]!];
      expect(start).toBeGreaterThanOrEqual(lastStart);
      expect(end).toBeGreaterThanOrEqual(start);
      lastStart = start;
      while (enclosing.length > 0 && endsMs[enclosing.at(-1)!]! <= start) enclosing.pop();
      const outer = enclosing.at(-1);
      if (outer !== undefined) expect(end).toBeLessThanOrEqual(endsMs[outer]!);
      const name = profile.names[kind]!;
      if (kind < profile.opCount) {
        expect(outer).toBeDefined();
        opMs += end - start;
        const key = `${name} in ${profile.names[kinds[outer!]!]}`;
        nanosecondsOf.set(key, (nanosecondsOf.get(key) ?? 0) + Math.round(1e6 * (end - start)));
      } else {
        expect([flops[i], bytes[i]]).toEqual([0, 0]);
        expect([...shapes.subarray(4 * i, 4 * i + 4)]).toEqual([-1, -1, -1, -1]);
        enclosing.push(i);
      }
    });
    expect(endsMs.every((end) => end <= profile.milliseconds)).toBe(true);
    expect(profile.busyMilliseconds).toBeLessThanOrEqual(profile.milliseconds);
    expect(opMs).toBeLessThanOrEqual(profile.busyMilliseconds);

    const totals = profile.ops.map((op) => [`${op.op} in ${op.call}`, Math.round(1e6 * op.milliseconds)]);
    expect(new Map(totals as [string, number][])).toEqual(nanosecondsOf);
    const own = profile.calls.reduce((sum, call) => sum + call.milliseconds - call.nestedMilliseconds, 0);
    expect(own).toBeCloseTo(profile.busyMilliseconds, 6);
    expect(new Set(profile.calls.filter(({ calls }) => calls > 0).map(({ call }) => call))).toEqual(
      new Set(["generate", "prefill", "decode", "sample", "forward", "backward", "step"]),
    );
  });

  test("keeps its first events and counts all the others", async () => {
    const engine = await newEngine();
    const batch = [{ prompt: { tokens: Int32Array.of(3), images: [] }, response: Int32Array.of(4) }];
    const score = () => engine.forward(batch, { keepTape: false });
    await score();
    const once = (await engine.profile(score)).profile.events.kinds.length;
    const calls = Math.ceil(2 ** 18 / once) + 3;
    const { profile } = await engine.profile(async () => {
      await Promise.all(Array.from({ length: calls }, score));
    });
    expect(profile.events.kinds).toHaveLength(2 ** 18);
    const events = [...profile.ops, ...profile.calls].reduce((sum, { calls }) => sum + calls, 0);
    expect(events).toBe(calls * once);
    expect(profile.eventsLeftOut).toBe(events - 2 ** 18);
    expect(profile.events.endsMs.every((end, i) => end >= profile.events.startsMs[i]!)).toBe(true);
  });
});

describe("Engine.profile", () => {
  test("refuses a second profile at a time", async () => {
    const engine = await newEngine();
    await engine.profile(() =>
      expectFailure(
        engine.profile(async () => {}),
        "INVALID_ARGUMENT",
        "profile: another profile of this engine is being taken; wait for its end",
      ),
    );
    await engine.profile(async () => {});
  });

  test("passes on what its work throws, and can be called again", async () => {
    const engine = await newEngine();
    const failure = new Error("no more work");
    expect(await rejection(engine.profile(() => Promise.reject(failure)))).toBe(failure);
    const { profile } = await engine.profile(() => engine.forward([sequence(1)]));
    expect(profile.calls.find(({ call }) => call === "forward")?.calls).toBe(1);
  });

  test("rejects when the engine is disposed in the middle of it", async () => {
    const engine = await newEngine();
    await expectFailure(
      engine.profile(async () => {
        const pending = engine.forward(longBatch());
        engine.dispose();
        await pending;
      }),
      "DISPOSED",
      /disposed/,
    );
    const other = await newEngine();
    await expectFailure(
      other.profile(async () => other.dispose()),
      "DISPOSED",
      /disposed/,
    );
  });
});
