import { describe, expect, test } from "vitest";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { NumberLineExpert } from "../../envs/gym-cards/number-line-expert.js";
import { type EvaluateOptions, evaluate } from "../../src/train/evaluate.js";
import { evaluateReferences } from "../../src/train/panels.js";
import { optimalPlayer, policyPlayer, randomPlayer } from "../../src/train/players.js";
import { Arrow, ArrowPolicy } from "./fakes.js";

const panel = { makeEnvironment: () => new Arrow(), episodes: 50, seed: 1 };
const sampled = { sampling: { temperature: 1 }, maxNewTokens: 4 };

describe("evaluate", () => {
  test("scores a perfect and a contrary policy exactly", async () => {
    const policy = new ArrowPolicy();
    policy.weight = 100;
    const { score } = await evaluate({ ...panel, player: policyPlayer(policy, sampled) });
    expect(score).toEqual({
      episodes: 50,
      successRate: 1,
      successInterval: [expect.closeTo(0.9287, 4), 1],
      returnMean: 2,
      returnMargin: 0,
      stepsMean: 2,
      actionAccuracy: 1,
      readingAccuracy: null,
      illegalRate: 0,
    });
    policy.weight = -100;
    const contrary = await evaluate({ ...panel, player: policyPlayer(policy, sampled) });
    expect(contrary.score).toMatchObject({ successRate: 0, returnMean: -2, actionAccuracy: 0 });
  });

  test("gives the same panel and the same answers whatever the concurrency", async () => {
    const play = (concurrency: number) =>
      evaluate({ ...panel, player: policyPlayer(new ArrowPolicy(), sampled), concurrency, transcripts: 50 });
    const alone = await play(1);
    expect(await play(7)).toEqual(alone);
    expect(await play(1000)).toEqual(alone);
    expect(alone.score.successRate).toBeGreaterThan(0);
    expect(alone.score.successRate).toBeLessThan(1);
  });

  test("plays other episodes with another seed", async () => {
    const seeds = async (seed: number) => {
      const { transcripts } = await evaluate({ ...panel, seed, player: randomPlayer(), transcripts: 50 });
      return transcripts.map((transcript) => transcript.seed);
    };
    const both = [...(await seeds(1)), ...(await seeds(2))];
    expect(new Set(both).size).toBe(100);
  });

  test("draws an action where the response names none, and counts it", async () => {
    const { score, transcripts } = await evaluate({
      ...panel,
      player: () => ({ action: undefined, text: "no idea" }),
      transcripts: 50,
    });
    expect(score.illegalRate).toBe(1);
    const actions = transcripts.flatMap(({ steps }) => steps.map(({ action }) => action));
    expect(new Set(actions)).toEqual(new Set(["left", "right"]));
    expect(transcripts[0]!.steps[0]).toMatchObject({ legal: false, text: "no idea" });
  });

  test("keeps the first episodes with everything that was seen, written and earned", async () => {
    const { transcripts } = await evaluate({ ...panel, player: optimalPlayer(), transcripts: 3 });
    expect(transcripts.map(({ episode }) => episode)).toEqual([0, 1, 2]);
    for (const { steps, success, ...transcript } of transcripts) {
      expect(success).toBe(true);
      expect(transcript.return).toBe(2);
      for (const { frame, action, reward, text } of steps) {
        expect(action).toBe(frame.data[0] === 255 ? "right" : "left");
        expect([reward, text]).toEqual([1, null]);
      }
    }
  });

  test("closes every environment and reports the player's failure after all have stopped", async () => {
    let open = 0;
    let calls = 0;
    const makeEnvironment = () => {
      open += 1;
      const close = () => {
        open -= 1;
      };
      return Object.assign(new Arrow(), { close });
    };
    const player = async () => {
      calls += 1;
      if (calls === 5) throw new Error("out of luck");
      return { action: 0 };
    };
    await expect(evaluate({ ...panel, makeEnvironment, player, concurrency: 3 })).rejects.toThrow(
      "out of luck",
    );
    expect(open).toBe(0);
    const callsAtRejection = calls;
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(callsAtRejection);
  });

  test("rejects with the signal's reason when aborted", async () => {
    const controller = new AbortController();
    const policy = new ArrowPolicy();
    const reason = new Error("enough");
    policy.onRespond = () => controller.abort(reason);
    const options = { ...panel, player: policyPlayer(policy, sampled), signal: controller.signal };
    await expect(evaluate(options)).rejects.toBe(reason);
  });

  test.each(["episodes", "concurrency"])("names %s when it is not a positive integer", async (name) => {
    const options = { ...panel, player: randomPlayer(), [name]: 0 } as EvaluateOptions;
    await expect(evaluate(options)).rejects.toThrow(`${name}: expected an integer >= 1, received 0`);
  });
});

describe("evaluateReferences", () => {
  test("measures the known scores of random, expert and optimal play on NumberLine", async () => {
    const { random, expert, optimal } = await evaluateReferences(
      { makeEnvironment: () => new NumberLine(), episodes: 300, seed: 1 },
      new NumberLineExpert(),
    );
    // Random play: 28.3 % exactly; three standard errors of 300 episodes are 0.078.
    expect(Math.abs(random.successRate - 0.283)).toBeLessThan(0.078);
    expect(random.actionAccuracy).toBeGreaterThan(0.4);
    const perfect = { successRate: 1, returnMean: 1, actionAccuracy: 1, illegalRate: 0 };
    expect(optimal).toMatchObject({ ...perfect, readingAccuracy: null });
    expect(expert).toMatchObject({ ...perfect, readingAccuracy: 1 });
  });

  test("leaves expert and optimal play out where nobody knows them", async () => {
    const makeEnvironment = () => Object.assign(new Arrow(), { optimalActions: undefined as never });
    const { random, expert, optimal } = await evaluateReferences({ makeEnvironment, episodes: 10, seed: 1 });
    expect(expert).toBeNull();
    expect(optimal).toBeNull();
    expect(random.actionAccuracy).toBeNull();
  });
});
