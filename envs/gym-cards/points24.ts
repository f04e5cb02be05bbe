import type { Random } from "../../src/random.js";
import type { Frame } from "../env.js";
import { drawCard, loadCards } from "./card-drawing.js";
import { ranks, suits } from "./cards.js";
import { FormulaGame, type FormulaGameOptions, type FormulaGameSpec } from "./formula-game.js";
import { points24Solver } from "./formula-solver.js";
import { drawText, loadFont, white } from "./rendering.js";

const HAND_SIZE = 4;

function prompt(formula: string, thoughts: boolean): string {
  return (
    "You are an expert 24 points card game player. You are observing thee four cards in the image. You are observing the " +
    `current formula: ${formula}. You can choose between ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '+', '-', '*', ` +
    "'/', '(', ')', '=']. The number or operator you choose will be appended to the current formula. Note that 'J', 'Q', and " +
    "'K' count as '10'. Your goal is to output a formula that evaluates to 24, and each number can only be used once. Your " +
    "response should be a valid json file in the following format: \\{\n" +
    (thoughts
      ? ` "cards": [x, y, z, w], \n"current formula": ${formula}, \n"thoughts": {First check whether the current formula equals ` +
        "24. If the current formula equals 24, output '='. Otherwise consider which number or operator should be appended to " +
        "the current formula to make it equal 24.} \n"
      : "") +
    '"action": "{number}" or "{operator}" \n \\}'
  );
}

/** Four cards, each independent and uniform over all 52. */
function deal(random: Random): string[] {
  return Array.from({ length: HAND_SIZE }, () => random.pick(suits) + random.pick(ranks));
}

function drawHand(frame: Frame, cards: readonly string[]): void {
  const atlas = loadCards("67x93");
  cards.forEach((card, i) => {
    drawCard(frame, atlas, card, 5 + Math.floor(i * atlas.width * 1.1), 103);
  });
  drawText(frame, loadFont("dejavu-sans-16"), "Formula:", 10, 210, white);
}

/** Long formulas run off the frame, as in the reference. */
function drawFormula(frame: Frame, formula: readonly string[]): void {
  drawText(frame, loadFont("dejavu-sans-16"), formula.join(" "), 10, 240, white);
}

/** What Points24 adds to `FormulaGame`. */
const points24Spec: FormulaGameSpec = {
  id: "gym-cards/points24-v1",
  solver: points24Solver,
  handSize: HAND_SIZE,
  prompt,
  deal,
  drawHand,
  drawFormula,
};

/**
 * Points24 of gym_cards (Zhai et al. 2024, arXiv 2405.10292): make 24 of four cards with + - * / and parentheses. See
 * `FormulaGame` for the rules; a formula of up to 20 tokens can be ended by "=".
 *
 * Observation: 300 x 300 RGB, four cards above the formula. 17 actions: "1" to "10", "+", "-", "*", "/", "(", ")", "=". J, Q and
 * K count 10. Hands are dealt without regard to whether they can be solved: 73.09 % can.
 *
 * Follows the reference at its last revision (b989b57), the typing error of its prompt included. Differs in: the seed fixes the
 * hand; formulas are evaluated exactly (`referenceEval` for Python's way); the cards are another deck.
 */
export class Points24 extends FormulaGame {
  constructor(options: FormulaGameOptions = {}) {
    super(points24Spec, options);
  }
}
