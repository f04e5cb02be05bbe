import { describe, expect, test } from "vitest";
import { Blackjack } from "../../envs/gym-cards/blackjack.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import { EZPointsExpert } from "../../envs/gym-cards/ez-points-expert.js";
import type { FormulaInfo } from "../../envs/gym-cards/formula-game.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { NumberLineExpert } from "../../envs/gym-cards/number-line-expert.js";
import { type EvaluateOptions, evaluate, failureKinds } from "../../src/train/evaluate.js";
import { evaluateReferences } from "../../src/train/panels.js";
import { optimalPlayer, type Player, policyPlayer, randomPlayer } from "../../src/train/players.js";
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
      returnInterval: [2, 2],
      stepsMean: 2,
      actionAccuracy: 1,
      readingAccuracy: null,
      faults: { unreadable: 0, illegal: 0, misread: null, wrong: 0 },
      failures: {},
    });
    policy.weight = -100;
    const contrary = await evaluate({ ...panel, player: policyPlayer(policy, sampled) });
    expect(contrary.score).toMatchObject({
      successRate: 0,
      returnMean: -2,
      actionAccuracy: 0,
      faults: { wrong: 1 },
      // The arrow cannot tell why an episode failed.
      failures: null,
    });
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
    expect(score.faults).toMatchObject({ unreadable: 1, illegal: 0, wrong: 0 });
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

describe("the breakdown of what went wrong", () => {
  /** Plays EZPoints by a script of responses, one per decision of every episode. */
  async function play(respond: (right: string, step: number, info: FormulaInfo) => string) {
    const makeEnvironment = () => new EZPoints();
    const expert = new EZPointsExpert();
    const player: Player<FormulaInfo> = ({ environment, info }) => {
      const right = expert.respond(info, () => 0.5, 0);
      const text = respond(right, info.steps, info);
      return { action: environment.parseAction(text, info), text };
    };
    return (await evaluate({ makeEnvironment, player, episodes: 40, seed: 3 })).score;
  }
  const withAction = (text: string, action: string) =>
    text.replace(/"action": "[^"]*"/, `"action": "${action}"`);

  test("counts each decision under its first fault", async () => {
    const none = { unreadable: 0, illegal: 0, misread: 0, wrong: 0 };
    expect((await play((right) => right)).faults).toEqual(none);
    expect((await play(() => "I pass")).faults).toEqual({ ...none, unreadable: 1 });
    // The cards are misread and the number is not in the hand: the rules come first.
    const illegal = await play((right, _step, { numbers }) => {
      const absent = [1, 3, 5, 7].find((number) => !numbers.includes(number))!;
      return withAction(right.replace(/"cards": \[/, '"cards": [77, '), String(absent));
    });
    expect(illegal.faults).toEqual({ ...none, illegal: 1 });
    const misread = await play((right) => right.replace(/"cards": \[/, '"cards": [77, '));
    expect(misread).toMatchObject({ successRate: 1, actionAccuracy: 1, faults: { ...none, misread: 1 } });
    const wrong = await play((right) => withAction(right, "="));
    expect(wrong).toMatchObject({ faults: { ...none, wrong: 1 }, failures: { "cards left over": 1 } });
  });

  test("shares out a half of faulty decisions and all failed episodes", async () => {
    // Every second hand is given up at its second decision.
    const score = await play((right, step, { numbers }) =>
      step === 1 && numbers[0]! % 2 === 0 ? withAction(right, "=") : right,
    );
    const failed = score.failures!["cards left over"]!;
    expect(failed).toBeCloseTo(1 - score.successRate, 12);
    expect(failed).toBeGreaterThan(0.2);
    expect(failed).toBeLessThan(0.8);
    // Failed episodes have 2 decisions, one of them wrong; the others 4.
    expect(score.faults.wrong).toBeCloseTo(failed / (2 * failed + 4 * (1 - failed)), 12);
  });

  test("orders ways of failing by how often they occur in all scores", async () => {
    const makeEnvironment = () => new Blackjack();
    const panel = { makeEnvironment, episodes: 400, seed: 1 };
    const scores = [
      (await evaluate({ ...panel, player: () => ({ action: 0 }) })).score,
      (await evaluate({ ...panel, player: () => ({ action: 1 }) })).score,
    ];
    expect(scores[1]!.failures).toEqual({ bust: 1 });
    expect(Object.keys(scores[0]!.failures!)).toEqual(["lost", "draw"]);
    expect(failureKinds(scores)).toEqual(["bust", "lost", "draw"]);
    // Always standing: 38.07 % won, of infinitely many hands.
    expect(Math.abs(scores[0]!.successRate - 0.3807)).toBeLessThan(3 * Math.sqrt((0.38 * 0.62) / 400));
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
    const perfect = { successRate: 1, returnMean: 1, actionAccuracy: 1, failures: {} };
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
