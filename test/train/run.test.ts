import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { FinishedEpisode } from "../../src/rollout/trajectory.js";
import type { Progress, ProgressUpdate } from "../../src/train/progress.js";
import { type Algorithm, type RunSettings, run } from "../../src/train/run.js";
import { RunFolder } from "../../src/train/run-folder.js";
import { Arrow, ArrowPolicy } from "./fakes.js";
import { temporaryFolder } from "./temporary-folder.js";

const settings: RunSettings = {
  task: "arrow",
  algorithm: "scripted",
  seed: 1,
  updates: 4,
  checkpointEvery: 1,
  stop: { successRate: 0.98, patience: 2, minimumEpisodes: 10 },
  evaluation: {
    episodes: 60,
    seed: 1,
    transcripts: 0,
    selectionEpisodes: 60,
    sampling: { temperature: 1 },
    maxNewTokens: 4,
  },
  headline: { score: "scripted/score", absent: "scripted/absent" },
};

interface ScriptState {
  readonly next: number;
}

/**
 * An algorithm of one's own: it sets the policy's weight to one value after the other. `successes[j]` of 20
 * episodes succeed in the rollout of update j + 1.
 */
function scripted(policy: ArrowPolicy, weights: number[], successes: number[]): Algorithm<ScriptState> {
  return async function* (resume) {
    for (let index = resume?.next ?? 0; index < weights.length; index++) {
      policy.weight = weights[index]!;
      const episodes = Array.from({ length: 20 }, (_, episode): FinishedEpisode => {
        const success = episode < successes[index]!;
        return { environment: 0, episode, return: 0, steps: 1, success };
      });
      yield {
        update: index + 1,
        environmentSteps: 20 * (index + 1),
        metrics: { "scripted/score": successes[index]! / 20 },
        rollout: { trajectories: [], episodes },
        state: { next: index + 1 },
      };
    }
  };
}

function newFolder(): RunFolder {
  return RunFolder.create(join(temporaryFolder(), "run"), {}, {});
}

async function runScript(weights: number[], successes: number[], changes: Partial<RunSettings> = {}) {
  const policy = new ArrowPolicy();
  const folder = newFolder();
  const outcome = await run({
    folder,
    policy,
    algorithm: scripted(policy, weights, successes),
    makeEnvironment: () => new Arrow(),
    settings: { ...settings, ...changes },
  });
  if (outcome.status !== "finished") throw new Error("expected a finished run");
  return { policy, folder, summary: outcome.summary };
}

describe("run", () => {
  test("ends with the best weights after a collapse", async () => {
    // The third rollout measures what the second update left.
    const { policy, folder, summary } = await runScript([1, 50, -50, -50], [5, 8, 19, 0]);
    expect(summary).toMatchObject({ chosenUpdate: 2, updates: 4, stopReason: "updates" });
    expect(summary.after.successRate).toBe(1);
    expect(policy.weight).toBe(50);
    expect(readFileSync(folder.file("checkpoints", "best", "model.json"), "utf8")).toBe("50");
    expect(readFileSync(folder.file("checkpoints", "last", "model.json"), "utf8")).toBe("-50");
  });

  test("ends with the last weights where they do at least as well as the best so far", async () => {
    const { policy, folder, summary } = await runScript([1, 1, 1, 50], [5, 6, 8, 7]);
    expect(summary.chosenUpdate).toBe(4);
    expect(policy.weight).toBe(50);
    expect(readFileSync(folder.file("checkpoints", "best", "model.json"), "utf8")).toBe("50");
  });

  test("stops after enough solved rollouts in a row", async () => {
    const { summary } = await runScript([50, 50, 50, 50, 50], [4, 20, 20, 20, 20]);
    expect(summary).toMatchObject({ updates: 3, stopReason: "solved", environmentSteps: 60 });
  });

  test("keeps the last weights, and plays no selection, where there is no stop rule", async () => {
    const { stop, ...withoutStop } = settings;
    const policy = new ArrowPolicy();
    const outcome = await run({
      folder: newFolder(),
      policy,
      algorithm: scripted(policy, [50, -50], [20, 20]),
      makeEnvironment: () => new Arrow(),
      settings: withoutStop,
    });
    expect(stop).toBeDefined();
    expect(outcome).toMatchObject({ status: "finished", summary: { chosenUpdate: 2 } });
    expect(policy.weight).toBe(-50);
  });

  test("reports the metrics worth showing of each update, and ends the display after a failure too", async () => {
    const updates: ProgressUpdate[] = [];
    const events: string[] = [];
    const progress: Progress = {
      begin: (done, total) => events.push(`begin ${done}/${total}`),
      update: (update) => updates.push(update),
      message() {},
      end: () => events.push("end"),
    };
    const policy = new ArrowPolicy();
    const folder = newFolder();
    const algorithm: Algorithm<ScriptState> = async function* (resume, signal) {
      yield* scripted(policy, [1, 1], [5, 6])(resume, signal);
      throw new Error("lost");
    };
    const options = { folder, policy, algorithm, makeEnvironment: () => new Arrow(), settings, progress };
    await expect(run(options)).rejects.toThrow("lost");
    expect(events).toEqual(["begin 0/4", "end"]);
    expect(updates.map(({ update, headline }) => [update, headline])).toEqual([
      [1, { score: 0.25 }],
      [2, { score: 0.3 }],
    ]);
    expect(existsSync(folder.file("summary.json"))).toBe(false);
  });

  test("passes on an error that has nothing to do with the interruption under way", async () => {
    const controller = new AbortController();
    const policy = new ArrowPolicy();
    const algorithm: Algorithm<ScriptState> = () => {
      controller.abort();
      throw new Error("disk full");
    };
    const options = { folder: newFolder(), policy, algorithm, makeEnvironment: () => new Arrow(), settings };
    await expect(run({ ...options, signal: controller.signal })).rejects.toThrow("disk full");
  });
});
