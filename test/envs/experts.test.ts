import { describe, expect, test } from "vitest";
import type { Environment, Expert, StepResult } from "../../envs/env.js";
import { Blackjack } from "../../envs/gym-cards/blackjack.js";
import { BlackjackExpert } from "../../envs/gym-cards/blackjack-expert.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import { EZPointsExpert } from "../../envs/gym-cards/ez-points-expert.js";
import { evaluateFormula } from "../../envs/gym-cards/formula.js";
import type { FormulaInfo } from "../../envs/gym-cards/formula-game.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { NumberLineExpert } from "../../envs/gym-cards/number-line-expert.js";
import { Points24 } from "../../envs/gym-cards/points24.js";
import { Points24Expert } from "../../envs/gym-cards/points24-expert.js";
import { deriveKey, Random } from "../../src/random.js";

interface Played {
  return: number;
  steps: number;
}

/** Lets the expert play from a state to the end, and holds each response against the environment. */
async function play<Info>(
  environment: Environment<Info>,
  expert: Expert<Info>,
  start: Info,
): Promise<Played> {
  let info = start;
  const played = { return: 0, steps: 0 };
  for (;;) {
    const response = expert.respond(info, () => 0.5, 0);
    const action = environment.parseAction(response, info);
    if (action === undefined || !environment.optimalActions!(info).includes(action)) {
      throw new Error(`not an optimal action: ${response}`);
    }
    if (!environment.readsState!(response, info)) throw new Error(`not what is to be seen: ${response}`);
    const result: StepResult<Info> = await environment.step(action);
    played.return += result.reward;
    played.steps += 1;
    if (result.terminated || result.truncated) return played;
    info = result.info;
  }
}

/** Plays episodes of seeds 0, 1, ... */
async function playSeeds<Info>(environment: Environment<Info>, expert: Expert<Info>, count: number) {
  const played: Played[] = [];
  for (let seed = 0; seed < count; seed++) {
    played.push(await play(environment, expert, (await environment.reset(seed)).info));
  }
  const mean = (of: (episode: Played) => number) => played.reduce((sum, e) => sum + of(e), 0) / count;
  return {
    played,
    success: mean((episode) => (episode.return > 0 ? 1 : 0)),
    return: mean((episode) => episode.return),
    squares: mean((episode) => episode.return ** 2),
    steps: mean((episode) => episode.steps),
  };
}

/**
 * Lets the expert build a formula of Points24, without frames, and holds each response against the environment.
 *
 * @returns the formula's value; undefined where the hand is given up at once
 */
function playUndrawn(environment: Points24, expert: Points24Expert, numbers: readonly number[]) {
  const cards = numbers.map((value) => `H${"A23456789T"[value - 1]}`);
  const formula: string[] = [];
  for (let steps = 0; ; steps++) {
    const info = { cards, numbers, formula, steps };
    const response = expert.respond(info, () => 0.5, 0);
    const action = environment.parseAction(response)!;
    expect(environment.optimalActions(info)).toContain(action);
    expect(environment.readsState!(response, info)).toBe(true);
    const token = environment.actionSpace.labels[action]!;
    if (token === "=") break;
    formula.push(token);
  }
  if (formula.length === 0) return undefined;
  expect(formula.filter((token) => /\d/.test(token)).sort()).toEqual(numbers.map(String).sort());
  return evaluateFormula(formula);
}

describe("experts reach the exact scores of optimal play", () => {
  test("NumberLine: 100 %, every return 1, 2.278 steps", async () => {
    const n = 300;
    const { played, steps } = await playSeeds(new NumberLine(), new NumberLineExpert(), n);
    expect(new Set(played.map((episode) => episode.return))).toEqual(new Set([1]));
    // Distances of 1 to 5 deviate by 1.3.
    expect(Math.abs(steps - 2.278)).toBeLessThan((3 * 1.3) / Math.sqrt(n));
  });

  test("EZPoints: 100 %, every return 10, 4 steps", async () => {
    const { played } = await playSeeds(new EZPoints(), new EZPointsExpert(), 100);
    expect(new Set(played.map((episode) => `${episode.return} in ${episode.steps}`))).toEqual(
      new Set(["10 in 4"]),
    );
  });

  test("Blackjack: 42.95 %, return -0.0466, 1.545 steps", async () => {
    const n = 1000;
    const outcome = await playSeeds(new Blackjack(), new BlackjackExpert(), n);
    expect(Math.abs(outcome.success - 0.4295)).toBeLessThan(3 * Math.sqrt((0.4295 * 0.5705) / n));
    expect(Math.abs(outcome.return + 0.0466)).toBeLessThan(3 * Math.sqrt(outcome.squares / n));
    expect(Math.abs(outcome.steps - 1.545)).toBeLessThan((3 * 0.8) / Math.sqrt(n));
  });

  test("Points24: a hand that can be solved is, with return 10", async () => {
    const { played, success } = await playSeeds(new Points24(), new Points24Expert(), 60);
    expect(new Set(played.map((episode) => episode.return))).toEqual(new Set([10, -1]));
    expect(Math.abs(success - 0.7309)).toBeLessThan(3 * Math.sqrt((0.7309 * 0.2691) / 60));
  });

  test("Points24: 566 of 715 hands, 20876 of 28561 deals", () => {
    const environment = new Points24();
    const expert = new Points24Expert();
    // Of 13 ranks four count 10. Four values with multiplicities m1, m2, ... are dealt in 4! / (m1! m2! ...) orders.
    const ranks = (value: number): number => (value === 10 ? 4 : 1);
    const factorials = [1, 1, 2, 6, 24];
    let [hands, solved, deals] = [0, 0, 0];
    for (let a = 1; a <= 10; a++) {
      for (let b = a; b <= 10; b++) {
        for (let c = b; c <= 10; c++) {
          for (let d = c; d <= 10; d++) {
            const numbers = [a, b, c, d];
            const played = playUndrawn(environment, expert, numbers);
            hands += 1;
            if (played === undefined) continue;
            expect(played).toEqual({ numerator: 24, denominator: 1 });
            const orders = new Map(
              numbers.map((value) => [value, factorials[numbers.filter((other) => other === value).length]!]),
            );
            solved += 1;
            deals +=
              (24 / [...orders.values()].reduce((x, y) => x * y)) * numbers.reduce((x, y) => x * ranks(y), 1);
          }
        }
      }
    }
    expect([hands, solved, deals]).toEqual([715, 566, 20876]);
  });
});

describe("experts answer off the path as well", () => {
  /** Responses in the states of uniformly random play, with those of the expert's own mixed in. */
  async function* visited<Info>(environment: Environment<Info>, expert: Expert<Info>, episodes: number) {
    const random = new Random(deriveKey(21));
    for (let seed = 0; seed < episodes; seed++) {
      let { info } = await environment.reset(seed);
      for (;;) {
        const response = expert.respond(info, () => 0.5, 0);
        yield { info, response };
        const isRandom = random.uniform() < 0.3;
        const action = isRandom
          ? random.integer(environment.actionSpace.labels.length)
          : environment.parseAction(response, info)!;
        const result: StepResult<Info> = await environment.step(action);
        if (result.terminated || result.truncated) break;
        info = result.info;
      }
    }
  }

  function check<Info>(name: string, environment: Environment<Info>, expert: Expert<Info>): void {
    test(`${name}: every response is JSON, reads the state and names an optimal action`, async () => {
      for await (const { info, response } of visited(environment, expert, 100)) {
        expect(JSON.parse(response)).toHaveProperty("action");
        expect(environment.readsState!(response, info)).toBe(true);
        expect(environment.optimalActions!(info)).toContain(environment.parseAction(response, info));
      }
    });
  }
  check("NumberLine", new NumberLine(), new NumberLineExpert());
  check("EZPoints", new EZPoints(), new EZPointsExpert());
  check("Points24", new Points24(), new Points24Expert());
  check("Blackjack", new Blackjack(), new BlackjackExpert());

  const formulaGames: [string, Environment<FormulaInfo>, Expert<FormulaInfo>, number][] = [
    ["EZPoints", new EZPoints(), new EZPointsExpert(), 12],
    ["Points24", new Points24(), new Points24Expert(), 24],
  ];
  test.each(formulaGames)("%s: what a thought claims to be equal is", async (_, game, expert, target) => {
    let claims = 0;
    for await (const { info, response } of visited(game, expert, 100)) {
      const { "current formula": formula, thoughts, action } = JSON.parse(response);
      expect(formula).toBe(info.formula.join(""));
      const claim = /since '([^']*)=(\d+)'/.exec(thoughts);
      if (claim === null) {
        expect(thoughts).toBe(`'${formula}' cannot equal ${target}, I should output '='`);
        continue;
      }
      claims += 1;
      expect(claim[1]!.startsWith(action === "=" ? formula : `${formula}${action}`)).toBe(true);
      const tokens = claim[1]!.match(/\d+|[-+*/()]/g)!;
      expect(evaluateFormula(tokens)).toEqual({ numerator: target, denominator: 1 });
      expect(tokens.filter((token) => /\d/.test(token)).sort()).toEqual(info.numbers.map(String).sort());
    }
    expect(claims).toBeGreaterThan(100);
  });
});
