import type { Random } from "../../src/random.js";
import type { Frame } from "../env.js";
import { drawCard, loadCards } from "./card-drawing.js";
import { ranks, suits } from "./cards.js";
import { FormulaGame, type FormulaGameOptions, type FormulaGameSpec } from "./formula-game.js";
import { ezPointsSolver } from "./formula-solver.js";
import { drawText, loadFont, white } from "./rendering.js";

function prompt(formula: string, thoughts: boolean): string {
  return (
    "You are an expert card game player. You are observing two cards in the image. You are observing the current " +
    `formula: ${formula}. You can choose between ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '+', '*', '=']. ` +
    "The number or operator you choose will be appended to the current formula. Note that 'J', 'Q', and 'K' count as " +
    "'10'. Your goal is to output a formula that evaluates to 12, and each number can only be used once. Your response " +
    "should be a valid json file in the following format: \\{\n" +
    (thoughts
      ? ` "cards": [x, y], \n"current formula": ${formula}, \n"thoughts": {First check whether the current formula 'z' is ` +
        "complete. If the current formula 'z' is complete, output '='. Otherwise consider which number or operator should " +
        "be appended to the current formula to make it equal 12.} \n"
      : "") +
    '"action": "{number}" or "{operator}" \n \\}'
  );
}

/**
 * A first card of 2 to K; the second completes it to 12, by a product with probability 1/2 where its value is 2, 3, 4 or 6, and
 * by a sum otherwise. So every hand is solvable.
 */
function deal(random: Random): string[] {
  const rank = 2 + random.integer(12);
  const first = random.pick(suits) + ranks[rank - 1]!;
  const value = Math.min(rank, 10);
  const isProduct = [2, 3, 4, 6].includes(value) && random.uniform() < 0.5;
  const { target } = ezPointsSolver.rules;
  const completing = isProduct ? target / value : target - value;
  // Value 10 is a ten here, never a face card.
  const second = random.pick(suits) + ranks[completing - 1]!;
  return random.uniform() < 0.5 ? [second, first] : [first, second];
}

function drawHand(frame: Frame, cards: readonly string[]): void {
  const atlas = loadCards("135x189");
  cards.forEach((card, i) => {
    drawCard(frame, atlas, card, 5 + Math.floor(i * atlas.width * 1.1), 55);
  });
}

function drawFormula(frame: Frame, formula: readonly string[]): void {
  drawText(frame, loadFont("dejavu-sans-20"), `Formula: ${formula.join(" ")}`, 10, 258, white);
}

/** What EZPoints adds to `FormulaGame`. */
const ezPointsSpec: FormulaGameSpec = {
  id: "gym-cards/ez-points-v1",
  solver: ezPointsSolver,
  handSize: 2,
  prompt,
  deal,
  drawHand,
  drawFormula,
};

/**
 * EZPoints of gym_cards (Zhai et al. 2024, arXiv 2405.10292): make 12 of two cards with + and *. See `FormulaGame` for the rules;
 * a formula of up to 5 tokens can be ended by "=".
 *
 * Observation: 300 x 300 RGB, two cards above the formula. 13 actions: "1" to "10", "+", "*", "=". Every hand can be solved, by
 * exactly one operator: a product for {2, 6} and {3, 4}, a sum for all others. The pairs of values come with the probabilities
 * {2, 10} 3/8, {5, 7} 1/6, {3, 9} 1/8, {4, 8} 1/8, {2, 6} 1/12, {3, 4} 1/12, {6, 6} 1/24.
 *
 * Follows the reference at its last revision (b989b57). Differs in: the seed fixes the hand; formulas are evaluated exactly
 * (`referenceEval` for Python's way); the cards are another deck.
 */
export class EZPoints extends FormulaGame {
  constructor(options: FormulaGameOptions = {}) {
    super(ezPointsSpec, options);
  }
}
