import { describe, expect, test } from "vitest";
import type { Environment, EpisodeOutcome, ResetResult } from "../../envs/env.js";
import { Blackjack } from "../../envs/gym-cards/blackjack.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { Points24 } from "../../envs/gym-cards/points24.js";

/** Plays labels to the episode's end. */
function play<Info>(
  environment: Environment<Info>,
  start: ResetResult<Info>,
  labels: readonly string[],
): EpisodeOutcome<Info> {
  let [total, steps, info] = [0, 0, start.info];
  for (const label of labels) {
    const result = environment.step(environment.actionSpace.labels.indexOf(label));
    if (result instanceof Promise) throw new Error("expected an environment without promises");
    total += result.reward;
    steps += 1;
    info = result.info;
    if (result.terminated || result.truncated) {
      return { return: total, steps, terminated: result.terminated, lastInfo: info };
    }
  }
  throw new Error(`no end after ${labels.length} actions`);
}

describe("NumberLine tells a failure", () => {
  const failure = (labels: readonly string[]) => {
    const environment = new NumberLine();
    const outcome = play(environment, environment.resetTo({ current: 2, target: 4 }), labels);
    expect(environment.isSuccess(outcome)).toBe(false);
    return environment.failureOf(outcome);
  };

  test("by a wrong move, and by never arriving", () => {
    expect(failure(["-", "+", "+", "+"])).toBe("wrong move");
    expect(failure(Array.from({ length: 10 }, () => "-"))).toBe("too slow");
  });
});

describe("Blackjack tells a failure", () => {
  const failure = (deck: readonly string[], labels: readonly string[]) => {
    const environment = new Blackjack();
    const outcome = play(environment, environment.resetTo(deck), labels);
    expect(environment.isSuccess(outcome)).toBe(false);
    return environment.failureOf(outcome);
  };

  test("by too many points, by fewer than the dealer's, and by as many", () => {
    expect(failure(["SK", "H9", "D8", "C8", "S6"], ["hit"])).toBe("bust");
    expect(failure(["SK", "H9", "D8", "C8"], ["stand"])).toBe("lost");
    expect(failure(["SK", "H9", "DK", "C9"], ["stand"])).toBe("draw");
  });
});

describe("EZPoints and Points24 tell a failure", () => {
  const ezPoints = (labels: readonly string[]) => {
    const environment = new EZPoints();
    const outcome = play(environment, environment.resetTo(["S5", "H7"]), labels);
    expect(environment.isSuccess(outcome)).toBe(false);
    return environment.failureOf(outcome);
  };
  const points24 = (cards: readonly string[], labels: readonly string[]) => {
    const environment = new Points24();
    const outcome = play(environment, environment.resetTo(cards), labels);
    expect(environment.isSuccess(outcome)).toBe(false);
    return environment.failureOf(outcome);
  };

  test("by the value at the end, or an end too early", () => {
    expect(ezPoints(["5", "*", "7", "="])).toBe("wrong value");
    expect(ezPoints(["5", "7", "="])).toBe("wrong value");
    expect(ezPoints(["5", "+", "="])).toBe("cards left over");
    expect(ezPoints(["="])).toBe("cards left over");
  });

  test("by a formula that is too long", () => {
    expect(ezPoints(Array.from({ length: 20 }, () => "+"))).toBe("too long");
    expect(
      points24(
        ["S6", "H6", "D6", "C6"],
        Array.from({ length: 30 }, () => "("),
      ),
    ).toBe("too long");
  });

  test("by illegal numbers before all that follows from them", () => {
    expect(ezPoints(Array.from({ length: 20 }, () => "9"))).toBe("illegal number");
    expect(ezPoints(["5", "5", "="])).toBe("illegal number");
  });

  test("by a hand that nothing solves before all else", () => {
    expect(points24(["SA", "HA", "DA", "CA"], ["="])).toBe("unsolvable hand");
    expect(points24(["SA", "HA", "DA", "CA"], ["9", "="])).toBe("unsolvable hand");
    expect(points24(["S6", "H6", "D6", "C6"], ["="])).toBe("cards left over");
  });

  test("and which numbers are legal", () => {
    const environment = new EZPoints();
    const { info } = environment.resetTo(["S6", "H6"]);
    const legal = (formula: readonly string[]) =>
      environment.actionSpace.labels.filter((_, action) => environment.isLegal(action, { ...info, formula }));
    expect(legal([])).toEqual(["6", "+", "*", "="]);
    expect(legal(["6"])).toEqual(["6", "+", "*", "="]);
    expect(legal(["6", "+", "6"])).toEqual(["+", "*", "="]);
    expect(legal([" "])).toEqual(["6", "+", "*", "="]);
  });
});
