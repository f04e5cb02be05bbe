import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PNG } from "pngjs";
import { describe, expect, test } from "vitest";
import type { Frame } from "../../envs/env.js";
import { Blackjack } from "../../envs/gym-cards/blackjack.js";
import { EZPoints, ezPointsSpec } from "../../envs/gym-cards/ez-points.js";
import type { FormulaGameSpec } from "../../envs/gym-cards/formula-game.js";
import { Points24, points24Spec } from "../../envs/gym-cards/points24.js";
import { checkEnvironment } from "./contract.js";
import { sharedData } from "./shared-data.js";

checkEnvironment("EZPoints", () => new EZPoints());
checkEnvironment("EZPoints without thoughts, with referenceEval", () => {
  return new EZPoints({ thoughts: false, referenceEval: true });
});
checkEnvironment("Points24", () => new Points24());
checkEnvironment("Blackjack", () => new Blackjack());
checkEnvironment("Blackjack with hiddenFifthCard", () => new Blackjack({ hiddenFifthCard: true }));

const index = sharedData("gym-cards/frames/index.json");

describe.skipIf(index === undefined)("frames are near the original's of ../shared/data/gym-cards", () => {
  interface Entry {
    file: string;
    task: string;
    formula: (string | number)[];
    /** Left, top, width, height of the cards, whose art differs. */
    blanked: [number, number, number, number][];
  }

  test.each<[string, FormulaGameSpec, number]>([
    ["ez_points", ezPointsSpec, 5],
    ["points24", points24Spec, 4],
  ])("%s outside the cards: text equal but for the version of the font engine", (task, spec, count) => {
    const entries = (JSON.parse(readFileSync(index!, "utf8")) as Entry[]).filter((one) => one.task === task);
    expect(entries).toHaveLength(count);
    for (const { file, formula, blanked } of entries) {
      const frame = spec.drawHand(Array<string>(spec.handSize).fill("HA"));
      spec.drawFormula(frame, formula.map(String));
      const { data } = PNG.sync.read(readFileSync(join(dirname(index!), "..", file)));
      let [sum, values] = [0, 0];
      for (let y = 0; y < frame.height; y++) {
        for (let x = 0; x < frame.width; x++) {
          if (blanked.some(([left, top, w, h]) => x >= left && x < left + w && y >= top && y < top + h))
            continue;
          for (let channel = 0; channel < 3; channel++) {
            const pixel = y * frame.width + x;
            sum += Math.abs(frame.data[3 * pixel + channel]! - data[4 * pixel + channel]!);
            values += 1;
          }
        }
      }
      expect(sum / values).toBeLessThan(3);
      // Nothing but text at all: what lies under the cards was blanked exactly where ours are.
      expect(sum / values).toBeLessThan(0.01);
    }
  });
});

describe("frames", () => {
  test("are drawn when they are read, each into memory of its own", () => {
    const game = new Points24();
    const start = game.resetTo(["H8", "S3", "CT", "DA"]);
    const after = game.step(7);
    const copy = structuredClone(after);
    // Another hand in between changes nothing of what was seen before.
    game.resetTo(["S2", "S2", "S2", "S2"]);
    const other = new Points24();
    expect(start.frame).toEqual(other.resetTo(["H8", "S3", "CT", "DA"]).frame);
    expect(after.frame).toEqual(other.step(7).frame);
    expect(copy).toEqual(after);
    expect(after.frame).toBe(after.frame);
    expect(after.frame.data.buffer).not.toBe(start.frame.data.buffer);
    expect(after.frame.data.byteLength).toBe(after.frame.data.buffer.byteLength);
  });

  /** The columns of a frame's rows from `top` on that are not felt. */
  function cardColumns({ width, data }: Frame, top: number): number[] {
    return Array.from({ length: width }, (_, x) => x).filter(
      (x) => data[3 * (top * width + x)] !== 53 || data[3 * (top * width + x) + 1] !== 101,
    );
  }

  test("Blackjack: five cards are all to be seen, but for the reference's way", () => {
    const deck = ["HK", "SK", "HA", "S2", "C3", "D2", "H4", "S5"];
    const frameOf = (game: Blackjack, hits: number) => {
      let { frame } = game.resetTo(deck);
      for (let hit = 0; hit < hits; hit++) ({ frame } = game.step(1));
      return frame;
    };
    const hiding = new Blackjack({ hiddenFifthCard: true });
    expect(frameOf(hiding, 3)).toEqual(frameOf(hiding, 2));
    const shown = new Blackjack();
    expect(frameOf(shown, 3)).not.toEqual(frameOf(shown, 2));
    expect(frameOf(shown, 2)).toEqual(frameOf(hiding, 2));
    // The sixth begins a second row at the left edge, cut off by the frame's end.
    expect(cardColumns(frameOf(hiding, 3), 280)).toEqual([]);
    expect(cardColumns(frameOf(hiding, 4), 280)).toEqual(Array.from({ length: 70 }, (_, x) => 5 + x));
  });

  test("Blackjack: the dealer's cards stay hidden at the end", () => {
    const game = new Blackjack();
    const { frame } = game.resetTo(["H8", "S5", "HK", "SK", "C9"]);
    const end = game.step(0);
    expect(end.info.dealer).toEqual(["H8", "S5", "C9"]);
    expect(end.frame).toEqual(frame);
  });
});

describe("prompts", () => {
  test.each([
    ["EZPoints", new EZPoints(), ["H8", "S4"], [7, 10], "8+"],
    ["Points24", new Points24(), ["H8", "S4", "CT", "D2"], [14, 7], "(8"],
  ] as const)("of %s name the formula so far", (_, game, cards, actions, formula) => {
    let { info } = game.resetTo(cards);
    expect(game.prompt(info)).toContain("observing the current formula: . You can");
    for (const action of actions) ({ info } = game.step(action));
    expect(game.prompt(info)).toContain(`observing the current formula: ${formula}. You can`);
    expect(game.prompt(info)).toContain(`"current formula": ${formula}, \n`);
  });

  test("are the paper's to the letter", () => {
    // The words of its published code, typing errors included.
    const ez =
      "You are an expert card game player. You are observing two cards in the image. You are observing the current formula: . You can choose between ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '+', '*', '=']. The number or operator you choose will be appended to the current formula. Note that 'J', 'Q', and 'K' count as '10'. Your goal is to output a formula that evaluates to 12, and each number can only be used once. Your response should be a valid json file in the following format: \\{\n";
    const points24 =
      "You are an expert 24 points card game player. You are observing thee four cards in the image. You are observing the current formula: . You can choose between ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '+', '-', '*', '/', '(', ')', '=']. The number or operator you choose will be appended to the current formula. Note that 'J', 'Q', and 'K' count as '10'. Your goal is to output a formula that evaluates to 24, and each number can only be used once. Your response should be a valid json file in the following format: \\{\n";
    const blackjack =
      "You are a blackjack player. You are observing the current game state, you can choose between ['stand', 'hit']. Your response should be a valid json file in the following format: \n{\n";
    const token = '"action": "{number}" or "{operator}" \n \\}';
    const promptOf = (game: EZPoints | Points24 | Blackjack) => game.prompt(game.reset(0).info as never);
    expect(promptOf(new EZPoints({ thoughts: false }))).toBe(`${ez}${token}`);
    expect(promptOf(new Points24({ thoughts: false }))).toBe(`${points24}${token}`);
    expect(promptOf(new Blackjack({ thoughts: false }))).toBe(`${blackjack} "action": "stand" or "hit" \n}`);
    expect(promptOf(new EZPoints())).toBe(
      `${ez} "cards": [x, y], \n"current formula": , \n"thoughts": {First check whether the current formula 'z' is complete. If the current formula 'z' is complete, output '='. Otherwise consider which number or operator should be appended to the current formula to make it equal 12.} \n${token}`,
    );
    expect(promptOf(new Points24())).toBe(
      `${points24} "cards": [x, y, z, w], \n"current formula": , \n"thoughts": {First check whether the current formula equals 24. If the current formula equals 24, output '='. Otherwise consider which number or operator should be appended to the current formula to make it equal 24.} \n${token}`,
    );
    expect(promptOf(new Blackjack())).toBe(
      `${blackjack} "thoughts": "{first describe your total points and the dealer's total points then think about which action to choose}", \n"action": "stand" or "hit" \n}`,
    );
  });

  test.each([
    ['"action": "10"', 9],
    ['"action": "1"', 0],
    ['"action": "1010"', 9],
    ['"action": "10+"', undefined],
    ['"action": "101"', undefined],
    ["6", 5],
    ["10", undefined],
  ])("%s is read as the reference reads it", (response, action) => {
    expect(new EZPoints().parseAction(response)).toBe(action);
  });
});
