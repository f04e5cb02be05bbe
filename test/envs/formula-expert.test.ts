import { describe, expect, test } from "vitest";
import { EZPointsExpert } from "../../envs/gym-cards/ez-points-expert.js";
import type { FormulaInfo } from "../../envs/gym-cards/formula-game.js";
import { ezPointsSolver, type FormulaSolver, points24Solver } from "../../envs/gym-cards/formula-solver.js";
import { Points24Expert } from "../../envs/gym-cards/points24-expert.js";
import { deriveKey, Random } from "../../src/random.js";

const ezPoints = new EZPointsExpert();
const points24 = new Points24Expert();

function infoOf(numbers: readonly number[], formula: readonly string[] = []): FormulaInfo {
  const cards = numbers.map((number) => `S${number === 10 ? "T" : number === 1 ? "A" : number}`);
  return { cards, numbers, formula, steps: formula.length };
}

/** The right response; wrong ones are chosen by `drawn` in [0, 1). */
function respond(expert: EZPointsExpert | Points24Expert, info: FormulaInfo, drawn?: number): string {
  const uniforms = drawn === undefined ? [0] : [0, drawn];
  return expert.respond(info, () => uniforms.shift()!, drawn === undefined ? 0 : 1);
}

function actionOf(response: string): string {
  return (JSON.parse(response) as { action: string }).action;
}

describe("the formula experts", () => {
  test("write the paper's responses, from the first card to the end", () => {
    expect(respond(ezPoints, infoOf([5, 7]))).toBe(
      '{\n "cards": [5, 7], \n"current formula": "", \n"thoughts": "\'\' is an incomplete formula, since \'5+7=12\', I should append \'5\' to the current formula", \n"action": "5" \n}',
    );
    expect(respond(ezPoints, infoOf([5, 7], ["5"]))).toBe(
      '{\n "cards": [5, 7], \n"current formula": "5", \n"thoughts": "\'5\' is an incomplete formula, since \'5+7=12\', I should append \'+\' to the current formula", \n"action": "+" \n}',
    );
    expect(respond(ezPoints, infoOf([5, 7], ["5", "+", "7"]))).toBe(
      '{\n "cards": [5, 7], \n"current formula": "5+7", \n"thoughts": "\'5+7\' is a complete formula, since \'5+7=12\', I should output \'=\'", \n"action": "=" \n}',
    );
    expect(JSON.parse(respond(points24, infoOf([3, 8, 3, 8], ["8", "/"])))).toEqual({
      cards: [3, 8, 3, 8],
      "current formula": "8/",
      thoughts:
        "'8/' is an incomplete formula, since '8/(3-8/3)=24', I should append '(' to the current formula",
      action: "(",
    });
  });

  test("give up what cannot reach the target", () => {
    const givenUp = { thoughts: "'5*' cannot equal 12, I should output '='", action: "=" };
    expect(JSON.parse(respond(ezPoints, infoOf([5, 7], ["5", "*"])))).toMatchObject(givenUp);
    expect(JSON.parse(respond(points24, infoOf([1, 1, 1, 1])))).toMatchObject({ action: "=" });
  });

  test("err with a thought that claims what the action needs", () => {
    const wrong = (formula: readonly string[], drawn: number) => {
      const response = JSON.parse(respond(ezPoints, infoOf([5, 7], formula), drawn));
      expect(response).toMatchObject({ cards: [5, 7], "current formula": formula.join("") });
      return [response.action, response.thoughts];
    };
    expect(wrong(["5"], 0)).toEqual([
      "5",
      "'5' is an incomplete formula, since '55+7=12', I should append '5' to the current formula",
    ]);
    expect(wrong(["5"], 0.5)).toEqual([
      "*",
      "'5' is an incomplete formula, since '5*7=12', I should append '*' to the current formula",
    ]);
    expect(wrong(["5"], 0.99)).toEqual(["=", "'5' is a complete formula, since '5=12', I should output '='"]);
    expect(wrong(["5", "+", "7"], 0.5)).toEqual([
      "+",
      "'5+7' is an incomplete formula, since '5+7+5=12', I should append '+' to the current formula",
    ]);
  });

  test("write the action alone where thoughts are off", () => {
    const silent = new EZPointsExpert({ thoughts: false });
    expect(respond(silent, infoOf([5, 7], ["5"]))).toBe('{\n"action": "+" \n}');
    expect(respond(silent, infoOf([5, 7], ["5"]), 0.99)).toBe('{\n"action": "=" \n}');
  });

  const games: [string, EZPointsExpert | Points24Expert, FormulaSolver, number][] = [
    ["EZPoints", ezPoints, ezPointsSolver, 2],
    ["Points24", points24, points24Solver, 4],
  ];

  test.each(games)(
    "%s: right decisions are optimal and the wrong ones are not",
    (_, expert, solver, size) => {
      const random = new Random(deriveKey(5));
      for (let i = 0; i < 300; i++) {
        const numbers = Array.from({ length: size }, () => 1 + random.integer(10));
        const tokens = [...numbers.map(String), ...solver.rules.symbols, " "];
        const formula = Array.from({ length: random.integer(5) }, () => random.pick(tokens));
        const info = infoOf(numbers, formula);
        const best = solver.bestTokens(numbers, formula);
        expect(best).toContain(actionOf(respond(expert, info)));
        expect(best).not.toContain(actionOf(respond(expert, info, random.uniform())));
      }
    },
  );

  test.each(games)("%s: errs as often as asked", (_, expert, solver, size) => {
    const random = new Random(deriveKey(6));
    const info = infoOf([2, 6, 4, 4].slice(0, size));
    const n = 5_000;
    let wrong = 0;
    for (let i = 0; i < n; i++) {
      const action = actionOf(expert.respond(info, () => random.uniform(), 0.3));
      if (!solver.bestTokens(info.numbers, info.formula).includes(action)) wrong += 1;
    }
    expect(Math.abs(wrong - 0.3 * n)).toBeLessThan(4 * Math.sqrt(n * 0.3 * 0.7));
  });

  test.each([-0.1, 1.1, Number.NaN])("refuse the error rate %d", (errorRate) => {
    expect(() => ezPoints.respond(infoOf([5, 7]), () => 0, errorRate)).toThrow(
      `errorRate: expected a probability in [0, 1], received ${errorRate}`,
    );
  });
});
