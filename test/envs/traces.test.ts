import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { StepResult } from "../../envs/env.js";
import { Blackjack } from "../../envs/gym-cards/blackjack.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import type { FormulaGame } from "../../envs/gym-cards/formula-game.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { Points24 } from "../../envs/gym-cards/points24.js";
import { type FormulaTrace, readRecording, type Traces } from "../golden/gym-cards/make_traces.mjs";
import { sharedData } from "./shared-data.js";

/** What a step is compared by, beside the state: its reward and how it ended. */
function played(action: number, { reward, terminated, truncated }: StepResult<unknown>) {
  return [action, reward, terminated ? 1 : truncated ? 2 : 0];
}

function replayFormulas(game: FormulaGame, traces: readonly FormulaTrace[]): void {
  for (const { cards, steps } of traces) {
    game.resetTo(cards);
    const replayed = steps.map(([action]) => {
      const result = game.step(action);
      return [...played(action, result), result.info.formula];
    });
    expect(replayed).toEqual(steps);
  }
}

function checkTraces(read: () => Traces): void {
  test("NumberLine", () => {
    const game = new NumberLine();
    for (const { start, steps } of read().numberLine) {
      game.resetTo(start);
      const replayed = steps.map(([action]) => {
        const result = game.step(action);
        return [...played(action, result), [result.info.current, result.info.target]];
      });
      expect(replayed).toEqual(steps);
    }
  });

  test("EZPoints, formulas as Python evaluates them", () => {
    replayFormulas(new EZPoints({ referenceEval: true }), read().ezPoints);
  });

  test("Points24, formulas as Python evaluates them", () => {
    replayFormulas(new Points24({ referenceEval: true }), read().points24);
  });

  test("Blackjack with the deck that was drawn", () => {
    const game = new Blackjack();
    for (const { deck, steps } of read().blackjack) {
      game.resetTo(deck);
      const replayed = steps.map(([action]) => {
        const result = game.step(action);
        return [...played(action, result), result.info.player, result.info.dealer];
      });
      expect(replayed).toEqual(steps);
    }
  });
}

describe("transitions equal those recorded from the original environments", () => {
  const fixture = fileURLToPath(new URL("../golden/gym-cards/traces.json", import.meta.url));
  checkTraces(() => JSON.parse(readFileSync(fixture, "utf8")) as Traces);
});

const recording = sharedData("gym-cards/traces.json.gz");

describe.skipIf(recording === undefined)("so do all of ../shared/data/gym-cards", () => {
  checkTraces(() => readRecording(recording!));

  test("which are about 20 000 steps", () => {
    const { source: _, ...games } = readRecording(recording!);
    const steps = Object.values(games).map((episodes) =>
      episodes.reduce((sum, episode) => sum + episode.steps.length, 0),
    );
    expect(steps).toEqual([3089, 5982, 7808, 4218]);
  });
});

describe("formulas that Python evaluates otherwise", () => {
  /** Plays tokens and "=". @returns the last reward */
  function finish(game: FormulaGame, cards: readonly string[], tokens: readonly string[]): number {
    game.resetTo(cards);
    for (const token of tokens) expect(game.step(game.actionSpace.labels.indexOf(token)).reward).toBe(0);
    return game.step(game.actionSpace.labels.length - 1).reward;
  }

  test.each([
    ["numbers side by side", ["HA", "SA", "C2", "D4"], "2 4 * 1 * 1", -1, 10],
    ["a floor division", ["H5", "S2", "C6", "D6"], "5 / / 2 * 6 + 6", -1, -1],
    ["a power", ["H5", "S2", "CA", "DA"], "5 * * 2 - 1 * 1", -1, 10],
    ["an exact quotient that floats miss", ["H8", "S3", "C8", "D3"], "8 / ( 3 - 8 / 3 )", 10, -1],
    ["a sign", ["H8", "S3", "CA", "DA"], "- 8 * - 3 * 1 * 1", -1, 10],
    ["a plain formula", ["H8", "S3", "CA", "DA"], "8 * 3 * 1 * 1", 10, 10],
  ])("Points24: %s", (_, cards, formula, exact, python) => {
    const tokens = formula.split(" ");
    expect(finish(new Points24(), cards, tokens)).toBe(exact);
    expect(finish(new Points24({ referenceEval: true }), cards, tokens)).toBe(python);
  });
});
