import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Environment, Expert } from "../../envs/env.js";
import type { PpoRunConfig, SftRunConfig } from "../../src/train/config.js";
import { parseConfig } from "../../src/train/config.js";
import { ConfigError } from "../../src/train/config-error.js";
import type { RunOutcome } from "../../src/train/run.js";
import { RunFolder } from "../../src/train/run-folder.js";
import type { Summary } from "../../src/train/summary.js";
import type { Task } from "../../src/train/tasks.js";
import { type TrainOptions, train } from "../../src/train/train.js";
import { writeDemonstrations } from "../../src/train/write-demonstrations.js";
import { ArrowPolicy, arrowConfig, arrowTask } from "./fakes.js";
import { temporaryFolder } from "./temporary-folder.js";

function newFolder(config: object = {}): RunFolder {
  return RunFolder.create(join(temporaryFolder(), "run"), config, {});
}

function options(changes: Partial<TrainOptions> = {}): TrainOptions {
  return {
    config: arrowConfig(),
    task: arrowTask,
    policy: new ArrowPolicy(),
    folder: newFolder(),
    ...changes,
  };
}

function summaryOf(outcome: RunOutcome): Summary {
  if (outcome.status !== "finished") throw new Error(`expected a finished run, received ${outcome.status}`);
  return outcome.summary;
}

/** All that a run leaves behind and that must not depend on the clock or on interruptions. */
function results(folder: RunFolder): unknown {
  const read = (...names: string[]): string => readFileSync(folder.file(...names), "utf8");
  const { wallSeconds, ...summary } = JSON.parse(read("summary.json")) as Summary;
  expect(wallSeconds).toBeGreaterThan(0);
  return {
    metrics: read("metrics.jsonl"),
    before: read("evaluations", "before.json"),
    after: read("evaluations", "after.json"),
    episode: read("episodes", "after", "episode-001", "episode.json"),
    best: read("checkpoints", "best", "model.json"),
    last: read("checkpoints", "last", "model.json"),
    state: read("checkpoints", "last", "state.json"),
    summary,
  };
}

/** What `action` throws after so many answers of the policy. */
function dieAfter(policy: ArrowPolicy, answers: number, action: () => void): void {
  let count = 0;
  policy.onRespond = () => {
    if (count++ === answers) action();
  };
}

async function uninterrupted(config = arrowConfig()): Promise<RunFolder> {
  const folder = newFolder();
  await train(options({ config, folder }));
  return folder;
}

describe("a mode", () => {
  /** Every quirk but those named, of a policy whose vocabulary has no begin token. */
  function paper(without: object = {}) {
    const config = parseConfig({
      ...JSON.parse(JSON.stringify({ ...arrowConfig(), ppo: undefined, quirks: undefined })),
      mode: "paper",
      ppo: { updates: 6, stepsPerEnvironment: 15, minibatchSize: 15, learningRate: 0.3, temperature: 1 },
      quirks: { insertBeginToken: false, ...without },
      stop: { successRate: 1, patience: 6 },
    }) as PpoRunConfig;
    expect(config.quirks).toMatchObject({ stalePrompt: true, initialPrompt: true });
    return config;
  }

  test("reaches the algorithm with all its quirks", async () => {
    const folder = newFolder();
    await train(options({ config: paper(), folder }));
    const rows = readFileSync(folder.file("metrics.jsonl"), "utf8").trimEnd().split("\n");
    const metrics = rows.map((row) => JSON.parse(row) as Record<string, number>);
    expect(metrics).toHaveLength(6);
    for (const row of metrics) {
      expect(row["rollout/window_success_rate"]).toBeGreaterThanOrEqual(0);
      // Of responses of one token log π is a constant.
      expect(row["ppo/ratio_max"]).toBe(1);
    }
    expect(metrics[1]!["ppo/learning_rate"]! / metrics[0]!["ppo/learning_rate"]!).toBeCloseTo(
      0.5 * (1 + Math.cos(Math.PI / 25)),
      4,
    );
  });

  test("resumes in paper mode to the same bytes", async () => {
    // Responses of this policy have a single token: it learns only where that token counts.
    const config = paper({ lastFiveTokens: false, dropFirstToken: false });
    const expected = results(await uninterrupted(config));
    const folder = newFolder();
    const policy = new ArrowPolicy();
    const controller = new AbortController();
    dieAfter(policy, 300, () => controller.abort());
    const first = await train(options({ config, folder, policy, signal: controller.signal }));
    expect(first).toMatchObject({ status: "interrupted" });
    await train(options({ config, folder }));
    expect(results(folder)).toEqual(expected);
  });

  test("and the form of prompts reach the environments of training and of evaluation, and the expert", async () => {
    const seen: unknown[] = [];
    const note = (options: unknown) => {
      seen.push(JSON.stringify(options));
    };
    const task: Task = {
      ...arrowTask,
      makeEnvironment: (options) => {
        note(options);
        return arrowTask.makeEnvironment() as Environment;
      },
      makeExpert: (options) => {
        note(options);
        return arrowTask.makeExpert!() as Expert;
      },
    };
    const config = { ...arrowConfig(), thoughts: false };
    await train(options({ config: { ...config, quirks: { ...config.quirks, paperReset: true } }, task }));
    const expected = { thoughts: false, paperReset: true, referenceEval: false, hiddenFifthCard: false };
    expect(seen.length).toBeGreaterThan(10);
    expect(new Set(seen)).toEqual(new Set([JSON.stringify(expected)]));

    seen.length = 0;
    const sft = parseConfig({
      algorithm: "sft",
      task: "arrow",
      thoughts: false,
      model: { checkpoint: "none" },
      sft: { steps: 1 },
      evaluation: { episodes: 4, transcripts: 0 },
    });
    await train(options({ config: sft, task }));
    expect(new Set(seen)).toEqual(new Set([JSON.stringify({ thoughts: false })]));
  });
});

describe("train with PPO", () => {
  test("learns, and its summary says from where to where", async () => {
    const policy = new ArrowPolicy();
    const folder = newFolder();
    const summary = summaryOf(await train(options({ policy, folder })));
    // Chance: both of two arrows followed with probability 1/2 each.
    expect(Math.abs(summary.before.successRate - 0.25)).toBeLessThan(0.21);
    expect(summary.after.successRate).toBeGreaterThan(0.95);
    expect(summary.random).toBeLessThan(0.5);
    expect(summary).toMatchObject({
      optimal: 1,
      seed: 1,
      task: "arrow",
      algorithm: "ppo",
      stopReason: "solved",
    });
    expect(summary.updates).toBeLessThan(16);
    expect(summary.environmentSteps).toBe(summary.updates * 64);
    expect(JSON.parse(readFileSync(folder.file("summary.json"), "utf8"))).toEqual(summary);
    const kept = JSON.parse(readFileSync(folder.file("checkpoints", "best", "model.json"), "utf8"));
    expect(policy.weight).toBe(kept);
  });

  test("writes the same bytes for the same seed, and others for another", async () => {
    const [first, second] = [await uninterrupted(), await uninterrupted()];
    expect(results(second)).toEqual(results(first));
    const other = await uninterrupted(arrowConfig({ seed: 2 }));
    expect(readFileSync(other.file("metrics.jsonl"))).not.toEqual(readFileSync(first.file("metrics.jsonl")));
  });

  test("keeps metrics and timing apart, a line of each per update", async () => {
    const folder = await uninterrupted();
    const metrics = await folder.metrics.read();
    const timing = await folder.timing.read();
    expect(metrics.map(({ update }) => update)).toEqual(timing.map(({ update }) => update));
    expect(metrics.flatMap(Object.keys).filter((key) => /time|second/i.test(key))).toEqual([]);
    expect(Object.keys(timing[0]!)).toEqual(["update", "seconds", "elapsedSeconds"]);
  });

  // The evaluation before takes 160 answers, each update about 66; then come selection and evaluation.
  test.each([20, 100, 170, 230, 300, 700, 1210, 1240, 1400])(
    "ends with the same bytes after an interruption at answer %i",
    async (answers) => {
      const config = arrowConfig({
        checkpointEvery: 2,
        stop: { successRate: 1, patience: 9, minimumEpisodes: 8 },
      });
      const folder = newFolder();
      const controller = new AbortController();
      const policy = new ArrowPolicy();
      dieAfter(policy, answers, () => controller.abort());
      const outcome = await train(options({ config, policy, folder, signal: controller.signal }));
      expect(outcome).toEqual({ status: "interrupted", update: expect.any(Number) });

      const resumed = await train(options({ config, folder: RunFolder.open(folder.path) }));
      expect(resumed.status).toBe("finished");
      expect(results(folder)).toEqual(results(await uninterrupted(config)));
    },
  );

  test.each([30, 200, 333, 1000])("ends with the same bytes after a crash at answer %i", async (answers) => {
    const folder = newFolder();
    const policy = new ArrowPolicy();
    dieAfter(policy, answers, () => {
      throw new Error("power cut");
    });
    const config = arrowConfig({ stop: { successRate: 1, patience: 9, minimumEpisodes: 8 } });
    await expect(train(options({ config, policy, folder }))).rejects.toThrow("power cut");
    expect(readFileSync(folder.file("log.jsonl"), "utf8")).toContain("power cut");
    await train(options({ config, folder: RunFolder.open(folder.path) }));
    expect(results(folder)).toEqual(results(await uninterrupted(config)));
  });

  test("finishes the update it is in when interrupted between rollout and yield", async () => {
    const controller = new AbortController();
    const policy = new ArrowPolicy();
    const step = policy.step.bind(policy);
    policy.step = async (settings) => {
      controller.abort();
      return step(settings);
    };
    const folder = newFolder();
    const outcome = await train(options({ policy, folder, signal: controller.signal }));
    expect(outcome).toEqual({ status: "interrupted", update: 1 });
    expect(await folder.metrics.read()).toHaveLength(1);
  });

  test("closes the environments it trained on", async () => {
    let open = 0;
    const makeEnvironment = () => {
      open += 1;
      const close = () => {
        open -= 1;
      };
      return Object.assign(arrowTask.makeEnvironment(), { close });
    };
    await train(options({ task: { ...arrowTask, makeEnvironment } }));
    expect(open).toBe(0);
  });
});

describe("train with supervised fine-tuning", () => {
  const expertConfig = parseConfig({
    algorithm: "sft",
    task: "arrow",
    model: { checkpoint: "none", weights: "fresh" },
    sft: { steps: 30, batchSize: 8, learningRate: 0.5, warmupSteps: 2, maxRandomSteps: 1 },
    evaluation: { episodes: 40, transcripts: 2 },
    checkpointEvery: 7,
  }) as SftRunConfig;

  /** The same run on demonstrations that were written to disk before. */
  async function configWithData(): Promise<SftRunConfig> {
    const folder = join(temporaryFolder(), "data");
    const rates = { errorRate: 0, randomActionRate: 0 };
    await writeDemonstrations({
      task: arrowTask,
      folder,
      amount: { samples: 50 },
      seed: 1,
      ...rates,
      thoughts: true,
    });
    const data = join(folder, "demonstrations.jsonl");
    return parseConfig({
      ...expertConfig,
      sft: { ...expertConfig.sft, maxRandomSteps: 4, data },
    }) as SftRunConfig;
  }

  test.each(["the expert", "a data set"])("imitates %s, and resumes to the same bytes", async (from) => {
    const config = from === "a data set" ? await configWithData() : expertConfig;
    const whole = newFolder();
    const summary = summaryOf(await train(options({ config, folder: whole })));
    expect(summary.after.successRate).toBeGreaterThan(0.9);
    expect(summary).toMatchObject({
      updates: 30,
      chosenUpdate: 30,
      environmentSteps: 0,
      stopReason: "updates",
    });

    const folder = newFolder();
    const policy = new ArrowPolicy();
    const controller = new AbortController();
    let steps = 0;
    const step = policy.step.bind(policy);
    policy.step = async (settings) => {
      if (++steps === 17) controller.abort();
      return step(settings);
    };
    const outcome = await train(options({ config, policy, folder, signal: controller.signal }));
    expect(outcome).toEqual({ status: "interrupted", update: 17 });
    await train(options({ config, folder: RunFolder.open(folder.path) }));
    expect(results(folder)).toEqual(results(whole));
  });

  test("refuses a task without an expert", async () => {
    const { name, makeEnvironment } = arrowTask;
    const task = { name, makeEnvironment };
    await expect(train(options({ config: expertConfig, task }))).rejects.toThrow(ConfigError);
  });
});
