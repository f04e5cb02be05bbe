import { describe, expect, test } from "vitest";
import type { Frame } from "../../envs/env.js";
import type { RandomKey } from "../../src/native/types.js";
import type { Response } from "../../src/policy/policy.js";
import { deriveKey, Random, stream } from "../../src/random.js";
import { Collector, type CollectorOptions } from "../../src/rollout/collector.js";
import { EnvironmentError } from "../../src/rollout/environment-error.js";
import type { Rollout, Transition } from "../../src/rollout/trajectory.js";
import { LineWorld, POSITIONS, pause, SlowLineWorld } from "../fakes/line-world.js";
import { TabularPolicy } from "../fakes/tabular-policy.js";

const seed = 7;

function options(overrides: Partial<CollectorOptions> = {}): CollectorOptions {
  return {
    environments: Array.from({ length: 4 }, () => new LineWorld()),
    policy: new TabularPolicy(),
    seed,
    sampling: { temperature: 1 },
    maxNewTokens: 4,
    ...overrides,
  };
}

function transitionsOf(rollout: Rollout, environment: number): readonly Transition[] {
  return rollout.trajectories[environment]!.transitions;
}

/** A policy whose value of a state is a number that tells the states apart. */
class CountingPolicy extends TabularPolicy {
  readonly keys: RandomKey[] = [];

  override async respond(...[prompt, request]: Parameters<TabularPolicy["respond"]>): Promise<Response> {
    if (request.maxNewTokens > 0) this.keys.push(request.randomKey);
    return { ...(await super.respond(prompt, request)), value: prompt.tokens[0]! + 1 };
  }
}

describe("Collector", () => {
  test("plays every environment for the given number of steps, in order", async () => {
    const { trajectories, episodes } = await new Collector(options()).collect(20);
    expect(trajectories.map(({ environment }) => environment)).toEqual([0, 1, 2, 3]);
    for (const { transitions } of trajectories) expect(transitions).toHaveLength(20);
    const order = episodes.map(({ environment, episode }) => environment * 1000 + episode);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  test("reports each finished episode with its return, its steps and the environment's verdict", async () => {
    const { trajectories, episodes } = await new Collector(options()).collect(40);
    for (const { environment, transitions } of trajectories) {
      const own = episodes.filter((episode) => episode.environment === environment);
      let start = 0;
      own.forEach(({ episode, return: total, steps, success }, index) => {
        expect(episode).toBe(index);
        const rewards = transitions.slice(start, start + steps).map(({ reward }) => reward);
        expect(total).toBe(rewards.reduce((sum, reward) => sum + reward, 0));
        expect(success).toBe(total > 0);
        const last = transitions[start + steps - 1]!;
        expect(last.terminated || last.truncated).toBe(true);
        start += steps;
      });
      expect(transitions.slice(start).some(({ terminated, truncated }) => terminated || truncated)).toBe(
        false,
      );
    }
  });

  test("gives the same rollouts whatever the environments' and the policy's delays", async () => {
    class SlowPolicy extends TabularPolicy {
      readonly #random = new Random(deriveKey(99));
      override async respond(...args: Parameters<TabularPolicy["respond"]>): Promise<Response> {
        await pause(this.#random.integer(4));
        return super.respond(...args);
      }
    }
    const slow = options({
      environments: Array.from({ length: 4 }, (_, index) => new SlowLineWorld(index)),
      policy: new SlowPolicy(),
    });
    const expected = new Collector(options());
    const actual = new Collector(slow);
    for (let rollout = 0; rollout < 2; rollout++) {
      expect(await actual.collect(15)).toEqual(await expected.collect(15));
    }
    expect(actual.state()).toEqual(expected.state());
  });

  test("gives each frame back when it has looked at it for the last time", async () => {
    const returned = new Set<Frame>();
    class Recycling extends LineWorld {
      recycle(frame: Frame): void {
        expect(returned.has(frame)).toBe(false);
        returned.add(frame);
        frame.data.fill(255);
      }
    }
    const environments = Array.from({ length: 4 }, () => new Recycling());
    const rollouts = await Promise.all(
      [options(), options({ environments })].map((each) => new Collector(each).collect(20)),
    );
    expect(rollouts[1]).toEqual(rollouts[0]);
    expect(returned.size).toBe(4 * 20);
  });

  test("lets episodes roll over the end of a rollout", async () => {
    const whole = await new Collector(options()).collect(12);
    const halves = new Collector(options());
    const parts = [await halves.collect(6), await halves.collect(6)];
    for (let environment = 0; environment < 4; environment++) {
      const joined = parts.flatMap((part) => transitionsOf(part, environment));
      const strip = ({ bootstrapValue: _, ...transition }: Transition) => transition;
      expect(joined.map(strip)).toEqual(transitionsOf(whole, environment).map(strip));
    }
  });

  test("keys every request by seed, environment, episode and step", async () => {
    const policy = new CountingPolicy();
    await new Collector(options({ policy, environments: [new LineWorld(), new LineWorld()] })).collect(30);
    const asText = new Set(policy.keys.map(String));
    expect(asText.size).toBe(60);
    for (const environment of [0, 1]) {
      expect(asText).toContain(String(deriveKey(seed, stream.sampling, environment, 0, 0)));
      expect(asText).toContain(String(deriveKey(seed, stream.sampling, environment, 1, 0)));
    }
  });

  test("bootstraps a truncation and the rollout's end, and nothing else", async () => {
    const { trajectories } = await new Collector(options({ policy: new CountingPolicy() })).collect(33);
    const seen = { truncated: 0, end: 0 };
    for (const { transitions } of trajectories) {
      transitions.forEach(({ terminated, truncated, bootstrapValue }, t) => {
        const isEnd = t === transitions.length - 1;
        if (terminated || !(truncated || isEnd)) {
          expect(bootstrapValue).toBe(0);
        } else {
          seen[truncated ? "truncated" : "end"] += 1;
          expect(bootstrapValue).toBeGreaterThan(0);
        }
      });
    }
    expect(seen.truncated).toBeGreaterThan(0);
    expect(seen.end).toBeGreaterThan(0);
  });

  test("bootstraps with the value of the state in which the rollout ended", async () => {
    const collector = new Collector(options({ policy: new CountingPolicy() }));
    let compared = 0;
    for (let rollout = 0; rollout < 8; rollout++) {
      const before = await collector.collect(1);
      const after = await collector.collect(1);
      for (let environment = 0; environment < 4; environment++) {
        const last = transitionsOf(before, environment)[0]!;
        if (last.terminated || last.truncated) continue;
        expect(last.bootstrapValue).toBe(transitionsOf(after, environment)[0]!.response.value);
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(8);
  });

  test("draws an action where the response names none, and says so", async () => {
    const mute = options({ maxNewTokens: 1 });
    const rollout = await new Collector(mute).collect(50);
    const illegal = rollout.trajectories
      .flatMap(({ transitions }) => transitions)
      .filter(({ legal }) => !legal);
    expect(illegal.length).toBeGreaterThan(150);
    const up = illegal.filter(({ action }) => action === 1).length / illegal.length;
    expect(up).toBeGreaterThan(0.35);
    expect(up).toBeLessThan(0.65);
    const first = transitionsOf(rollout, 2).slice(0, 2);
    expect(first.map(({ legal }) => legal)).toEqual([false, false]);
    expect(first.map(({ action }) => action)).toEqual(
      [0, 1].map((step) => new Random(deriveKey(seed, stream.fallbackAction, 2, 0, step)).integer(2)),
    );
  });

  test("judges actions and readings only where the environment can", async () => {
    class BlindWorld extends LineWorld {
      override optimalActions = undefined as unknown as LineWorld["optimalActions"];
      readsState = (response: string) => response.includes("up");
    }
    const [seeing, blind] = [new LineWorld(), new BlindWorld()];
    const rollout = await new Collector(options({ environments: [seeing, blind] })).collect(10);
    for (const { optimal, readsState, prompt, action } of transitionsOf(rollout, 0)) {
      const state = prompt.tokens[0]!;
      const isUp = Math.floor(state / POSITIONS) > state % POSITIONS;
      expect(optimal).toBe(action === Number(isUp));
      expect(readsState).toBeUndefined();
    }
    for (const { optimal, readsState, response } of transitionsOf(rollout, 1)) {
      expect(optimal).toBeUndefined();
      expect(readsState).toBe(response.text.includes("up"));
    }
  });

  test("hands the stop strings on", async () => {
    const received: unknown[] = [];
    class Listening extends TabularPolicy {
      override async respond(...args: Parameters<TabularPolicy["respond"]>): Promise<Response> {
        received.push(args[1].stopStrings);
        return super.respond(...args);
      }
    }
    await new Collector(options({ policy: new Listening(), stopStrings: ["}"] })).collect(1);
    expect(received[0]).toEqual(["}"]);
  });
});

describe("Collector.restore", () => {
  test("continues where the state was taken", async () => {
    const original = new Collector(options());
    await original.collect(9);
    const state = JSON.parse(JSON.stringify(original.state()));
    const restored = await Collector.restore(options(), state);
    expect(restored.state()).toEqual(original.state());
    expect(await restored.collect(20)).toEqual(await original.collect(20));
  });

  test("refuses the states of another number of environments", async () => {
    await expect(Collector.restore(options(), [{ episode: 0, actions: [] }])).rejects.toThrow(
      /^states: expected 4, one per environment, received 1/,
    );
  });

  test("refuses actions that outlast their episode", async () => {
    const only = options({ environments: [new LineWorld()] });
    const state = { episode: 0, actions: [0, 0, 0, 0, 0, 0, 0, 0] };
    await expect(Collector.restore(only, [state])).rejects.toThrow(/episode ended while its 8 saved actions/);
  });
});

describe("a failing environment", () => {
  class Breaking extends LineWorld {
    #left: number;
    readonly error = new Error("the simulator is gone");

    constructor(steps: number) {
      super();
      this.#left = steps;
    }

    override step(action: number) {
      if (this.#left-- === 0) throw this.error;
      return super.step(action);
    }
  }

  test("is named with episode, step and seed, and its error is the cause", async () => {
    const breaking = new Breaking(12);
    const collector = new Collector(options({ environments: [new LineWorld(), breaking] }));
    const error: EnvironmentError = await collector.collect(30).then(
      () => expect.fail("the rollout went through"),
      (reason) => reason,
    );
    expect(error).toBeInstanceOf(EnvironmentError);
    expect(error).toMatchObject({ code: "ENVIRONMENT_FAILED", environment: 1, cause: breaking.error });
    expect(error.seed).toBe(deriveKey(seed, stream.episode, 1, error.episode)[0]);
    const [, state] = collector.state();
    expect([error.episode, error.step]).toEqual([state!.episode, state!.actions.length]);
    expect(error.message).toContain("step failed: the simulator is gone");
  });

  test("stops the others, and the collector with them", async () => {
    const environments = [new LineWorld(), new Breaking(2)];
    const collector = new Collector(options({ environments }));
    await expect(collector.collect(100)).rejects.toThrow(EnvironmentError);
    const stopped = collector.state();
    expect(stopped[0]!.episode * 6 + stopped[0]!.actions.length).toBeLessThan(100);
    await pause(10);
    expect(collector.state()).toEqual(stopped);
    await expect(collector.collect(1)).rejects.toThrow(/restore a new collector/);
  });

  test("may fail in any call", async () => {
    const fail = (): never => {
      throw new Error("no");
    };
    for (const call of ["reset", "prompt", "parseAction", "isSuccess", "optimalActions"] as const) {
      const broken = Object.assign(new LineWorld(), { [call]: fail });
      const run = new Collector(options({ environments: [broken] })).collect(30);
      await expect(run).rejects.toThrow(`${call} failed: no`);
    }
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("may not give a reward of %d", async (reward) => {
    class Odd extends LineWorld {
      override step(action: number) {
        return { ...(super.step(action) as Awaited<ReturnType<LineWorld["step"]>>), reward };
      }
    }
    const run = new Collector(options({ environments: [new Odd()] })).collect(1);
    await expect(run).rejects.toThrow(`step: expected a finite reward, received ${reward}`);
  });
});

describe("an abort", () => {
  test("stops all environments and rejects with the signal's reason", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const collector = new Collector(
      options({ environments: Array.from({ length: 3 }, (_, index) => new SlowLineWorld(index)) }),
    );
    const run = collector.collect(1_000_000, controller.signal);
    await pause(50);
    controller.abort(reason);
    await expect(run).rejects.toBe(reason);
    const stopped = collector.state();
    await pause(10);
    expect(collector.state()).toEqual(stopped);
  });

  test("is no leak of listeners, however many environments listen for it", async () => {
    class Listening extends TabularPolicy {
      override respond(...args: Parameters<TabularPolicy["respond"]>): Promise<Response> {
        args[2]!.addEventListener("abort", () => {});
        return super.respond(...args);
      }
    }
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on("warning", listen);
    const environments = Array.from({ length: 20 }, () => new LineWorld());
    const { signal } = new AbortController();
    await new Collector(options({ policy: new Listening(), environments })).collect(2, signal);
    await pause(2);
    process.off("warning", listen);
    expect(warnings).toEqual([]);
  });

  test("reaches the policy, whose own rejection does not hide the reason", async () => {
    class Waiting extends TabularPolicy {
      override respond(...[, , signal]: Parameters<TabularPolicy["respond"]>): Promise<Response> {
        return new Promise((_, reject) => {
          signal!.addEventListener("abort", () => reject(new Error("cancelled in the engine")));
        });
      }
    }
    const controller = new AbortController();
    const reason = new Error("enough");
    const run = new Collector(options({ policy: new Waiting() })).collect(1, controller.signal);
    await pause(5);
    controller.abort(reason);
    await expect(run).rejects.toBe(reason);
  });

  test("before the start plays nothing", async () => {
    const collector = new Collector(options());
    await expect(collector.collect(1, AbortSignal.abort(new Error("no")))).rejects.toThrow("no");
    expect(collector.state().every(({ actions }) => actions.length === 0)).toBe(true);
  });
});
