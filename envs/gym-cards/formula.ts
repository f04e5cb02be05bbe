/** Formulas of the card games: what they have used of a hand, and their value in exact arithmetic. */
import { add, divide, type Fraction, fraction, multiply, negate } from "./fraction.js";

/** What an illegal number leaves in a formula: a token that takes up length and means nothing. */
export const PLACEHOLDER = " ";

/** The numbers of a hand that a formula has not used, in the order of the hand. */
export function unusedNumbers(numbers: readonly number[], formula: readonly string[]): number[] {
  const left = [...numbers];
  for (const token of formula) {
    const index = left.indexOf(Number(token));
    if (index !== -1) left.splice(index, 1);
  }
  return left;
}

/**
 * Evaluates numbers, the operators + - * / with the usual precedence, from left to right, and parentheses; no signs, no powers,
 * no numbers side by side. Placeholders (" ") count as absent.
 *
 * @param tokens numbers as decimal integers, operators and parentheses, one each
 * @returns undefined where the tokens form no expression, or for a division by zero
 */
export function evaluateFormula(tokens: readonly string[]): Fraction | undefined {
  const rest = tokens.filter((token) => token !== PLACEHOLDER);
  let position = 0;

  const expression = (): Fraction | undefined => {
    let sum = term();
    while (sum !== undefined && (rest[position] === "+" || rest[position] === "-")) {
      const isSum = rest[position++] === "+";
      const next = term();
      sum = next && add(sum, isSum ? next : negate(next));
    }
    return sum;
  };
  const term = (): Fraction | undefined => {
    let product = operand();
    while (product !== undefined && (rest[position] === "*" || rest[position] === "/")) {
      const isProduct = rest[position++] === "*";
      const next = operand();
      product = next && (isProduct ? multiply(product, next) : divide(product, next));
    }
    return product;
  };
  const operand = (): Fraction | undefined => {
    const token = rest[position++];
    if (token === "(") {
      const inner = expression();
      return rest[position++] === ")" ? inner : undefined;
    }
    return token !== undefined && /^\d+$/.test(token) ? fraction(Number(token)) : undefined;
  };

  const value = expression();
  return position === rest.length ? value : undefined;
}

/** Whether the tokens form an expression that equals the integer exactly. */
export function formulaEquals(tokens: readonly string[], target: number): boolean {
  const value = evaluateFormula(tokens);
  return value !== undefined && value.denominator === 1 && value.numerator === target;
}
