/** One PPO iteration of the preset `number-line` through the public API, and the preset's whole run. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { ppo } from "../../src/algorithms/ppo.js";
import { checkpointFiles } from "../../src/models/checkpoint-files.js";
import { viewTokenCount } from "../../src/models/image-tokens.js";
import type { Precision } from "../../src/native/types.js";
import type { Policy } from "../../src/policy/policy.js";
import { VlmPolicy } from "../../src/policy/vlm-policy.js";
import { modelFolder } from "../../src/train/load-policy.js";
import { packagePath } from "../../src/train/package-path.js";
import { numberLine } from "../../src/train/presets.js";
import { compare, type PeerRequest, rowsOf } from "../comparison.js";
import { precisions, tinyVlmSpec } from "../models.js";
import { type Row, row } from "../results.js";
import { summarize } from "../statistics.js";
import { attempt, type BenchContext, type Suite } from "../suite.js";

export const rollout: Suite = async function* (context) {
  for (const precision of precisions) {
    const id = `rollout/ppo-iteration/${precision}`;
    if (context.wants(id)) yield* await attempt(id, "s", () => measureIteration(context, id, precision));
  }
  const id = "rollout/number-line/whole-run";
  if (context.wants(id) && !context.quick) yield* await attempt(id, "s", () => measureWholeRun(context, id));
};

async function measureIteration(context: BenchContext, id: string, precision: Precision): Promise<Row[]> {
  const folder = modelFolder("tiny-vlm");
  const { threads, cpu } = context;
  const { environments: count, ppo: settings, seed } = numberLine();
  const policy = await VlmPolicy.load(folder, { seed, threads, cpu, precision });
  try {
    const rollouts: number[] = [];
    const updates: number[] = [];
    let responseTokens = 0;
    const ours = async () => {
      // The same weights at the start of every repetition, so that all of them do the same work.
      await policy.load({ model: join(folder, checkpointFiles.weights) });
      const environments = Array.from({ length: count }, () => new NumberLine());
      const config = { ...settings, updates: 1 };
      const firstScore = watchFirstScore(policy);
      const start = performance.now();
      for await (const update of ppo({ policy: firstScore.policy, environments, config, seed })) {
        const transitions = update.rollout.trajectories.flatMap((trajectory) => trajectory.transitions);
        responseTokens = transitions.reduce((sum, { response }) => sum + response.tokens.length, 0);
        if (update.metrics["rollout/log_prob_mismatch_max"] !== 0) {
          throw new Error("expected sampling and scoring to give the same bits");
        }
      }
      const end = performance.now();
      rollouts.push((firstScore.time() - start) / 1000);
      updates.push((end - firstScore.time()) / 1000);
      return (end - start) / 1000;
    };
    await ours();
    const environment = new NumberLine();
    const { frame, info } = environment.reset(seed);
    const promptTokens = policy.encode(frame, environment.prompt(info)).tokens.length;
    const responses = count * settings.stepsPerEnvironment;
    const lengths = { promptTokens, responseTokens: Math.round(responseTokens / responses) };
    const requests = await peerRequests(context, precision, lengths);
    const comparison = await compare(ours, requests, context.repeats);
    // What was pushed first were the warm-ups.
    const timed = (seconds: readonly number[]) => summarize(seconds.slice(-context.repeats));
    const part = (name: string, seconds: readonly number[], amount?: number) =>
      rowsOf(
        {
          id: `${id}/${name}`,
          unit: amount === undefined ? "s" : "tokens/s",
          ...(amount !== undefined && { amount }),
        },
        { seconds: timed(seconds), peers: [] },
      );
    return [
      ...rowsOf({ id, unit: "s" }, comparison),
      ...part("rollout", rollouts),
      ...part("rollout-tokens", rollouts, responseTokens),
      ...part("update", updates),
    ];
  } finally {
    policy.dispose();
  }
}

/** The policy, with a note of when it was first asked to score: there the rollout ends and the update begins. */
function watchFirstScore(policy: VlmPolicy): { policy: Policy; time: () => number } {
  let time: number | undefined;
  const watched: Policy = {
    encode: (...args) => policy.encode(...args),
    respond: (...args) => policy.respond(...args),
    encodeResponse: (text) => policy.encodeResponse(text),
    tokenAtCharacter: (...args) => policy.tokenAtCharacter(...args),
    score: (...args) => {
      time ??= performance.now();
      return policy.score(...args);
    },
    backward: (...args) => policy.backward(...args),
    step: (options) => policy.step(options),
    save: (target) => policy.save(target),
    load: (from) => policy.load(from),
    dispose: () => policy.dispose(),
  };
  return { policy: watched, time: () => time ?? Number.NaN };
}

/** What the published code pads responses to. */
const PUBLISHED_MAX_NEW_TOKENS = 256;

/** @param lengths tokens of our prompts, image tokens included, and mean of our responses: peers are given as many */
async function peerRequests(
  { peers, quick }: BenchContext,
  precision: Precision,
  lengths: { promptTokens: number; responseTokens: number },
): Promise<PeerRequest[]> {
  const { environments, ppo: settings } = numberLine();
  const model = await tinyVlmSpec();
  const fractions = quick ? { published: 1 / 32, batched: 1 / 4 } : { published: 1 / 16, batched: 1 };
  return (["published", "batched"] as const).map((style) => ({
    supply: peers.pytorch,
    variant: `${style} ${precision}`,
    case: "ppo-iteration",
    settings: {
      style,
      model,
      weights: null,
      environments,
      stepsPerEnvironment: settings.stepsPerEnvironment,
      epochs: settings.epochs,
      minibatchSize: settings.minibatchSize,
      imageTokens: viewTokenCount(model.vision, model.projector),
      ...lengths,
      maxNewTokens: PUBLISHED_MAX_NEW_TOKENS,
      precision,
      fraction: fractions[style],
    },
  }));
}

/** `npm start`: once, as a user would; its own report says whether it succeeded. */
async function measureWholeRun({ folder, threads, cpu }: BenchContext, id: string): Promise<Row[]> {
  const out = join(folder, "number-line");
  const start = performance.now();
  const program = packagePath("dist", "src", "cli", "main.js");
  const { code, output } = await new Promise<{ code: number | null; output: string }>((resolve, reject) => {
    let output = "";
    const args = [program, "train", "number-line", "--set", `threads=${threads}`, "--out", out];
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "ignore"],
      env: { ...process.env, SIGHTLINE_CPU: cpu },
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.on("error", reject).on("close", (code) => resolve({ code, output }));
  });
  const seconds = (performance.now() - start) / 1000;
  if (code !== 0) throw new Error(`expected the run to succeed, received exit code ${code}`);
  const after = /^after, sampled +(\S+)/m.exec(output)?.[1] ?? "not reported";
  return [row({ id, unit: "s", value: seconds, note: `one run; sampled success afterwards ${after}` })];
}
