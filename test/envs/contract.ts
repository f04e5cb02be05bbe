import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Environment, Frame, ResetResult, StepResult } from "../../envs/env.js";
import { deriveKey, Random } from "../../src/random.js";

/** No episode of any environment may be longer than this, whatever is played. */
const LONGEST_EPISODE = 500;

interface Episode {
  /** What `reset` and each `step` returned. */
  readonly results: readonly [ResetResult<unknown>, ...StepResult<unknown>[]];
  /** The same as it was at that moment, pixels as digests. */
  readonly snapshots: readonly unknown[];
}

function snapshot<Result extends { frame: Frame }>({ frame, ...rest }: Result) {
  const digest = createHash("sha256").update(frame.data).digest("hex");
  return structuredClone({ ...rest, frame: { ...frame, data: digest } });
}

/** Plays uniform actions from a seed to the episode's end. @param seen is called with each frame when its snapshot is taken */
async function playEpisode(
  environment: Environment,
  seed: number,
  seen: (frame: Frame) => void = () => {},
): Promise<Episode> {
  const random = new Random(deriveKey(seed, 1));
  const start = await environment.reset(seed);
  const results: [ResetResult<unknown>, ...StepResult<unknown>[]] = [start];
  const snapshots: unknown[] = [snapshot(start)];
  seen(start.frame);
  for (;;) {
    const result = await environment.step(random.integer(environment.actionSpace.labels.length));
    results.push(result);
    snapshots.push(snapshot(result));
    seen(result.frame);
    if (result.terminated || result.truncated) return { results, snapshots };
    if (results.length > LONGEST_EPISODE) throw new Error(`no end after ${LONGEST_EPISODE} steps`);
  }
}

/** What every environment owes its callers (`envs/env.ts`), as a suite of tests. */
export function checkEnvironment(name: string, makeEnvironment: () => Environment): void {
  describe(`${name} keeps the environment contract`, () => {
    const seeds = [0, 1, 2, 3, 1_000_003, 2 ** 32 - 1] as const;

    test("names itself with a version and its actions with distinct labels", () => {
      const { id, actionSpace } = makeEnvironment();
      expect(id).toMatch(/^[a-z0-9-]+\/[a-z0-9-]+-v\d+$/);
      expect(actionSpace.labels.length).toBeGreaterThan(0);
      expect(new Set(actionSpace.labels).size).toBe(actionSpace.labels.length);
    });

    test.each(seeds)(
      "plays the same episode in two copies under seed %d and the same actions",
      async (seed) => {
        const one = await playEpisode(makeEnvironment(), seed);
        const other = await playEpisode(makeEnvironment(), seed);
        expect(other.snapshots).toEqual(one.snapshots);
      },
    );

    test("plays the same episode again after another one", async () => {
      const environment = makeEnvironment();
      const first = await playEpisode(environment, seeds[0]);
      await playEpisode(environment, seeds[1]);
      const again = await playEpisode(environment, seeds[0]);
      expect(again.snapshots).toEqual(first.snapshots);
    });

    test("starts differently under different seeds", async () => {
      const environment = makeEnvironment();
      const starts = new Set<string>();
      for (let seed = 0; seed < 50; seed++) starts.add(JSON.stringify((await environment.reset(seed)).info));
      expect(starts.size).toBeGreaterThan(1);
    });

    test.each(seeds)("returns well-formed results at every step under seed %d", async (seed) => {
      const [start, ...steps] = (await playEpisode(makeEnvironment(), seed)).results;
      const { width, height } = start.frame;
      for (const { frame } of [start, ...steps]) {
        expect([frame.width, frame.height]).toEqual([width, height]);
        expect(frame.data).toBeInstanceOf(Uint8Array);
        expect(frame.data.length).toBe(3 * width * height);
      }
      for (const { reward, terminated, truncated } of steps) {
        expect(Number.isFinite(reward)).toBe(true);
        expect(typeof terminated).toBe("boolean");
        expect(typeof truncated).toBe("boolean");
        expect(terminated && truncated).toBe(false);
      }
    });

    test("leaves earlier frames and infos alone while it goes on", async () => {
      const { results, snapshots } = await playEpisode(makeEnvironment(), seeds[0]);
      expect(results.map(snapshot)).toEqual(snapshots);
    });

    test("draws the same into memory that was given back, and leaves other frames alone", async () => {
      const environment = makeEnvironment();
      const kept = await environment.reset(seeds[1]);
      const before = snapshot(kept);
      for (const seed of seeds) {
        const { snapshots } = await playEpisode(makeEnvironment(), seed);
        const played = await playEpisode(environment, seed, (frame) => environment.recycle?.(frame));
        expect(played.snapshots).toEqual(snapshots);
      }
      expect(snapshot(kept)).toEqual(before);
    });

    test("leaves frames of others alone that are given back", async () => {
      const environment = makeEnvironment();
      if (environment.recycle === undefined) return;
      const { frame } = await environment.reset(seeds[0]);
      const foreign = { ...frame, data: frame.data.slice() };
      environment.recycle(foreign);
      const before = snapshot({ frame: foreign });
      await playEpisode(environment, seeds[1]);
      expect(snapshot({ frame: foreign })).toEqual(before);
    });

    test("prompts with text in every state, and reads back an action or none", async () => {
      const environment = makeEnvironment();
      const { results } = await playEpisode(environment, seeds[0]);
      for (const { info } of results) {
        const prompt: unknown = environment.prompt(info);
        expect(prompt).toEqual(expect.any(String));
        expect(prompt).not.toBe("");
        expect(environment.parseAction("", info)).toBeUndefined();
        for (const [action, label] of environment.actionSpace.labels.entries()) {
          expect(environment.parseAction(`{"action": "${label}"}`, info)).toBe(action);
        }
      }
    });

    test("names only actions of its space as optimal, and at least one before the end", async () => {
      const environment = makeEnvironment();
      const { results } = await playEpisode(environment, seeds[0]);
      for (const { info } of results.slice(0, -1)) {
        const optimal = environment.optimalActions?.(info);
        if (optimal === undefined) return;
        expect(optimal.length).toBeGreaterThan(0);
        for (const action of optimal) expect(environment.actionSpace.labels[action]).toBeDefined();
      }
    });

    test("refuses actions outside its space and goes on unharmed", async () => {
      const environment = makeEnvironment();
      const undisturbed = makeEnvironment();
      await environment.reset(seeds[0]);
      await undisturbed.reset(seeds[0]);
      for (const action of [-1, environment.actionSpace.labels.length, 0.5, Number.NaN]) {
        await expect(async () => environment.step(action)).rejects.toThrow(RangeError);
      }
      expect(snapshot(await environment.step(0))).toEqual(snapshot(await undisturbed.step(0)));
    });

    test("refuses a step before the first reset and after the end", async () => {
      const environment = makeEnvironment();
      await expect(async () => environment.step(0)).rejects.toThrow(/reset/);
      await playEpisode(environment, seeds[0]);
      await expect(async () => environment.step(0)).rejects.toThrow(/reset/);
    });

    test.each([-1, 0.5, 2 ** 32])("refuses %d as a seed", async (seed) => {
      await expect(async () => makeEnvironment().reset(seed)).rejects.toThrow(RangeError);
    });
  });
}
