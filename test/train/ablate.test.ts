import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ablate } from "../../src/train/ablate.js";
import type { PlannedArm } from "../../src/train/ablation.js";
import type { PolicyConfig } from "../../src/train/load-policy.js";
import { ArrowPolicy, arrowConfig, arrowTask } from "./fakes.js";
import { temporaryFolder } from "./temporary-folder.js";

const arrow = arrowConfig();
const config = arrowConfig({
  ppo: { ...arrow.ppo, updates: 3 },
  evaluation: { ...arrow.evaluation, episodes: 20, selectionEpisodes: 10 },
});

function planned(out: string, names: readonly string[], seeds: readonly number[]): PlannedArm[] {
  return names.map((name) => ({
    name,
    start: undefined,
    runs: seeds.map((seed) => ({
      seed,
      config: { ...config, seed },
      folder: join(out, name, `seed${seed}`),
    })),
  }));
}

/** Plays with policies that start from nothing; `prepare` sees each and what it was asked for. */
function play(
  arms: readonly PlannedArm[],
  prepare: (policy: ArrowPolicy, asked: PolicyConfig) => void | Promise<void> = () => {},
  signal?: AbortSignal,
) {
  return ablate({
    arms,
    async loadPolicy(asked) {
      const policy = new ArrowPolicy();
      await prepare(policy, asked);
      return policy;
    },
    findTask: () => arrowTask,
    ...(signal && { signal }),
  });
}

const summary = (folder: string) => readFileSync(join(folder, "summary.json"), "utf8");

describe("ablate", () => {
  test("plays every arm with every seed, and keeps what is finished", async () => {
    const arms = planned(temporaryFolder(), ["a", "b"], [1, 2]);
    const runs = arms.flatMap((arm) => arm.runs);
    const seeds: number[] = [];
    expect(await play(arms, (_, { seed }) => void seeds.push(seed))).toEqual({
      isInterrupted: false,
      problems: new Map(),
    });
    // One seed of all arms after the other.
    expect(seeds).toEqual([1, 1, 2, 2]);
    const first = runs.map(({ folder }) => summary(folder));
    rmSync(join(runs[2]!.folder, "summary.json"));
    let played = 0;
    await play(arms, () => {
      played += 1;
    });
    expect(played).toBe(1);
    const results = (text: string) => ({ ...JSON.parse(text), wallSeconds: 0 });
    expect(runs.map(({ folder }) => results(summary(folder)))).toEqual(first.map(results));
  });

  test("goes on after a run that fails, and tells why", async () => {
    const arms = planned(temporaryFolder(), ["a", "b"], [1, 2]);
    const { problems } = await play(arms, (policy, { seed }) => {
      if (seed !== 1) return;
      policy.onRespond = () => {
        throw new Error("out of memory");
      };
    });
    expect([...problems]).toEqual(arms.map(({ runs }) => [runs[0]!.folder, "out of memory"]));
    for (const { runs } of arms) expect(existsSync(join(runs[1]!.folder, "summary.json"))).toBe(true);
    // Tried again, it goes on.
    expect((await play(arms)).problems.size).toBe(0);
    for (const { runs } of arms) expect(JSON.parse(summary(runs[0]!.folder))).toMatchObject({ seed: 1 });
  });

  test("makes an arm's start first, once, and gives its runs up where it fails", async () => {
    const out = temporaryFolder();
    const [arm] = planned(out, ["a"], [1, 2]);
    const start = { config: { ...config, seed: 9 }, folder: join(out, "a", "start") };
    const arms = [{ ...arm!, start }];
    const seeds: number[] = [];
    const failed = await play(arms, (_, { seed }) => {
      seeds.push(seed);
      throw new Error("no model");
    });
    expect(seeds).toEqual([9]);
    expect(Object.fromEntries(failed.problems)).toEqual({
      [start.folder]: "no model",
      [arm!.runs[0]!.folder]: "its start failed: no model",
      [arm!.runs[1]!.folder]: "its start failed: no model",
    });
    expect((await play(arms, (_, { seed }) => void seeds.push(seed))).problems.size).toBe(0);
    expect(seeds).toEqual([9, 9, 1, 2]);
  });

  test("stops with a checkpoint when interrupted, and goes on from it to the same numbers", async () => {
    const [undisturbed, disturbed] = [temporaryFolder(), temporaryFolder()].map((out) =>
      planned(out, ["a"], [1, 2]),
    );
    await play(undisturbed!);
    const controller = new AbortController();
    let answers = 0;
    const interrupted = await play(
      disturbed!,
      (policy) => {
        policy.onRespond = () => {
          if (++answers === 150) controller.abort();
        };
      },
      controller.signal,
    );
    expect(interrupted.isInterrupted).toBe(true);
    const checkpoints: string[] = [];
    await play(disturbed!, async (policy, { model }) => {
      checkpoints.push(model.checkpoint);
      if (model.checkpoint !== "none") await policy.loadCheckpoint(model.checkpoint);
    });
    expect(checkpoints).toEqual([join(disturbed![0]!.runs[0]!.folder, "checkpoints", "last"), "none"]);
    const metrics = (arms: readonly PlannedArm[]) =>
      arms[0]!.runs.map(({ folder }) => readFileSync(join(folder, "metrics.jsonl"), "utf8"));
    expect(metrics(disturbed!)).toEqual(metrics(undisturbed!));
  });

  test("refuses folders of other runs before it plays anything", async () => {
    const out = temporaryFolder();
    const arms = planned(out, ["a", "b"], [1]);
    await play(arms.slice(1));
    const others = arms.map((arm) => ({
      ...arm,
      runs: arm.runs.map((run) => ({ ...run, config: { ...run.config, environments: 8 } })),
    }));
    let played = 0;
    const count = () => {
      played += 1;
    };
    await expect(play(others, count)).rejects.toThrow(
      `${arms[1]!.runs[0]!.folder}: expected a new or an empty folder, or the same run begun`,
    );
    writeFileSync(join(out, "file"), "");
    const [occupied] = planned(out, ["a"], [1]);
    const inFile = { ...occupied!, runs: [{ ...occupied!.runs[0]!, folder: out }] };
    await expect(play([inFile], count)).rejects.toThrow("found one that holds files");
    expect(played).toBe(0);
  });
});
