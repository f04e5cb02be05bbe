import { describe, expect, test } from "vitest";
import { Blackjack } from "../../envs/gym-cards/blackjack.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import { Points24 } from "../../envs/gym-cards/points24.js";
import { checkEnvironment } from "./contract.js";

checkEnvironment("EZPoints", () => new EZPoints());
checkEnvironment("EZPoints without thoughts, with referenceEval", () => {
  return new EZPoints({ thoughts: false, referenceEval: true });
});
checkEnvironment("Points24", () => new Points24());
checkEnvironment("Blackjack", () => new Blackjack());
checkEnvironment("Blackjack with hiddenFifthCard", () => new Blackjack({ hiddenFifthCard: true }));

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
