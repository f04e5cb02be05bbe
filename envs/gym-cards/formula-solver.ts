/**
 * Which formulas of EZPoints and Points24 can still be brought to their target, and how: exact arithmetic over everything
 * that the rest of a formula can be.
 */
import { PLACEHOLDER } from "./formula.js";
import { add, divide, type Fraction, fraction, multiply, negate } from "./fraction.js";

/** What tells one formula game from another. */
export interface FormulaRules {
  /** What the finished formula must equal. */
  readonly target: number;
  /** The tokens besides numbers and "=", in the order in which plans prefer them: some of + - * / ( ). */
  readonly symbols: readonly string[];
  /**
   * Which numbers plans prefer: as the cards lie, or the largest first, so that a hand has one plan in whatever order its cards
   * lie. Four cards lie in up to 24: who imitates plans then has 566 formulas to learn and not one for each of 8558 orders.
   */
  readonly planOrder: "hand" | "descending";
  /** Most tokens with which a formula can still be finished by "=". */
  readonly maxTokens: number;
}

/**
 * One open parenthesis, or the formula itself. Before an operand x its value so far is sum + factor * x, or sum + factor / x
 * where `divides`; after an operand it is sum + factor, and `divides` is false.
 */
interface Level {
  readonly sum: Fraction;
  readonly factor: Fraction;
  readonly divides: boolean;
}

/** A formula that is well formed so far, reduced to what its continuations depend on. */
interface Position {
  /** From the formula itself to the innermost open parenthesis; never empty. */
  readonly levels: readonly Level[];
  /** Whether a number or "(" comes next, rather than an operator or ")". */
  readonly needsOperand: boolean;
  /** Numbers of the hand that it has not used, ascending. */
  readonly rest: readonly number[];
}

/** A value that an operand can have, with the fewest tokens that write it. */
interface Operand {
  readonly value: Fraction;
  readonly tokens: number;
}

const zero = fraction(0);
const one = fraction(1);
const start: Level = { sum: zero, factor: one, divides: false };

const MAX_NUMBERS = 4;

/** Positions are remembered up to this many, some tens of MB; then the memory starts afresh. */
const MAX_REMEMBERED = 2 ** 18;

/**
 * Solves every hand of one formula game.
 *
 * A plan is well formed at each step: numbers, operators and parentheses of ordinary arithmetic, each number of the hand
 * once, no signs, no two numbers side by side. Arithmetic is exact: a formula that only rounds to the target does not count,
 * and one that misses it only by rounding does. Placeholders of illegal numbers (" ") take up length and change nothing else.
 */
export class FormulaSolver {
  readonly rules: FormulaRules;
  readonly #target: Fraction;
  readonly #operators: readonly string[];
  readonly #hasParentheses: boolean;
  readonly #known = new Map<string, ReadonlyMap<number, Operand>>();
  readonly #fewest = new Map<string, number>();

  constructor(rules: FormulaRules) {
    this.rules = rules;
    this.#target = fraction(rules.target);
    this.#operators = rules.symbols.filter((symbol) => symbol !== "(" && symbol !== ")");
    this.#hasParentheses = rules.symbols.includes("(");
  }

  /**
   * The tokens after which the formula can still be finished at its target: numbers in the order of the hand, then symbols in
   * the order of the rules, then "=". Empty where nothing leads there any more.
   *
   * @param numbers values of the hand, 1 to 10
   * @param formula tokens so far
   */
  nextTokens(numbers: readonly number[], formula: readonly string[]): string[] {
    return this.#continuations(numbers, formula).map(({ token }) => token);
  }

  /**
   * The tokens of an optimal player: those of `nextTokens`. Where nothing leads to the target the best return left is -1,
   * however the episode ends, so the choice is "=", which ends it at once.
   */
  bestTokens(numbers: readonly number[], formula: readonly string[]): string[] {
    const next = this.nextTokens(numbers, formula);
    return next.length > 0 ? next : ["="];
  }

  /**
   * The tokens of the shortest way from the formula to the target, without the final "="; empty where the formula is
   * finished, undefined where nothing leads there. Among equally short ways the one whose earliest different token is a number
   * before a symbol, and then the first in the order of the rules, so a plan that is followed does not change.
   */
  plan(hand: readonly number[], formula: readonly string[]): string[] | undefined {
    const numbers = this.rules.planOrder === "hand" ? hand : hand.toSorted((a, b) => b - a);
    const planned: string[] = [];
    for (;;) {
      const next = this.#continuations(numbers, [...formula, ...planned]);
      if (next.length === 0) return undefined;
      const best = next.reduce((shortest, other) => (other.tokens < shortest.tokens ? other : shortest));
      if (best.token === "=") return planned;
      planned.push(best.token);
    }
  }

  /** The tokens of `nextTokens`, each with the fewest tokens, itself included, that finish the formula through it. */
  #continuations(numbers: readonly number[], formula: readonly string[]) {
    const { symbols, maxTokens } = this.rules;
    const position = this.#read(numbers, formula);
    const room = maxTokens - formula.length;
    if (position === undefined || room < 0) return [];
    if (this.#isSolved(position)) return [{ token: "=", tokens: 0 }];
    const candidates = new Set([...numbers.map(String), ...symbols]);
    return [...candidates].flatMap((token) => {
      const next = this.#advance(position, token);
      const tokens = next === undefined ? Number.POSITIVE_INFINITY : 1 + this.#fewestTokens(next);
      return tokens <= room ? [{ token, tokens }] : [];
    });
  }

  /** The position of a formula; undefined where it breaks a rule that nothing after it can mend. */
  #read(numbers: readonly number[], formula: readonly string[]): Position | undefined {
    let position: Position | undefined = {
      levels: [start],
      needsOperand: true,
      rest: [...numbers].sort((a, b) => a - b),
    };
    for (const token of formula) {
      if (token === PLACEHOLDER) continue;
      position = this.#advance(position, token);
      if (position === undefined) return undefined;
    }
    return position;
  }

  /** The position after one more token; undefined where the token is out of place. */
  #advance({ levels, needsOperand, rest }: Position, token: string): Position | undefined {
    const level = levels.at(-1)!;
    const outer = levels.slice(0, -1);
    if (needsOperand) {
      if (token === "(" && this.#hasParentheses) return { levels: [...levels, start], needsOperand, rest };
      const index = rest.indexOf(Number(token));
      const after = index === -1 ? undefined : withOperand(level, fraction(rest[index]!));
      return after && { levels: [...outer, after], needsOperand: false, rest: rest.toSpliced(index, 1) };
    }
    if (token === ")") return closed({ levels, needsOperand, rest });
    if (!this.#operators.includes(token)) return undefined;
    return { levels: [...outer, withOperator(level, token)], needsOperand: true, rest };
  }

  #isSolved({ levels, needsOperand, rest }: Position): boolean {
    if (needsOperand || rest.length > 0 || levels.length > 1) return false;
    const { numerator, denominator } = levelValue(levels[0]!);
    return numerator === this.#target.numerator && denominator === 1;
  }

  /** Fewest tokens from a position to a formula that equals the target; infinite where there is no way. */
  #fewestTokens(position: Position): number {
    const { levels, needsOperand, rest } = position;
    if (!needsOperand && rest.length === 0 && levels.length === 1) {
      return this.#isSolved(position) ? 0 : Number.POSITIVE_INFINITY;
    }
    const search = () =>
      needsOperand ? this.#fewestFromOperand(position) : this.#fewestFromOperator(position);
    // Positions near the end are many and quickly searched.
    if (rest.length < 2) return search();
    const key = keyOf(position);
    const known = this.#fewest.get(key);
    if (known !== undefined) return known;
    const fewest = search();
    if (this.#fewest.size >= MAX_REMEMBERED) this.#fewest.clear();
    this.#fewest.set(key, fewest);
    return fewest;
  }

  /** Tries every operand: a number, or a parenthesis around an expression of some of the rest. */
  #fewestFromOperand({ levels, rest }: Position): number {
    const level = levels.at(-1)!;
    const outer = levels.slice(0, -1);
    let fewest = Number.POSITIVE_INFINITY;
    for (const [chosen, others] of this.#splits(rest)) {
      const operands = this.#operands(chosen);
      const last = others.length === 0 && outer.length === 0 ? operandFor(level, this.#target) : undefined;
      if (last !== undefined) {
        fewest = Math.min(fewest, operands.get(keyOfValue(last))?.tokens ?? Number.POSITIVE_INFINITY);
        continue;
      }
      // An operator and a number for each of the others, and every parenthesis closed.
      const least = 2 * others.length + outer.length;
      for (const { value, tokens } of operands.values()) {
        if (tokens + least >= fewest) continue;
        const after = withOperand(level, value);
        if (after === undefined) continue;
        const next = { levels: [...outer, after], needsOperand: false, rest: others };
        fewest = Math.min(fewest, tokens + this.#fewestTokens(next));
      }
    }
    return fewest;
  }

  /** Tries ")" and every operator. */
  #fewestFromOperator(position: Position): number {
    const { levels, rest } = position;
    const level = levels.at(-1)!;
    const outer = levels.slice(0, -1);
    const afterClosing = levels.length > 1 ? closed(position) : undefined;
    let fewest = afterClosing === undefined ? Number.POSITIVE_INFINITY : 1 + this.#fewestTokens(afterClosing);
    if (rest.length === 0) return fewest;
    for (const operator of this.#operators) {
      const next = { levels: [...outer, withOperator(level, operator)], needsOperand: true, rest };
      fewest = Math.min(fewest, 1 + this.#fewestTokens(next));
    }
    return fewest;
  }

  /**
   * Every value that an operand of exactly these numbers can have, a number or an expression in parentheses, by
   * `keyOfValue`.
   */
  #operands(numbers: readonly number[]): ReadonlyMap<number, Operand> {
    const key = numbers.join(" ");
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const shortest = new Map<number, Operand>();
    const extend = (level: Level, rest: readonly number[], tokensSoFar: number): void => {
      for (const [chosen, others] of this.#splits(rest)) {
        // A parenthesis within the parenthesis around all of it would say nothing.
        if (chosen.length === numbers.length) continue;
        for (const operand of this.#operands(chosen).values()) {
          const after = withOperand(level, operand.value);
          if (after === undefined) continue;
          const tokens = tokensSoFar + operand.tokens;
          if (others.length === 0) keepShorter(shortest, { value: levelValue(after), tokens });
          for (const operator of others.length === 0 ? [] : this.#operators) {
            extend(withOperator(after, operator), others, tokens + 1);
          }
        }
      }
    };
    if (numbers.length === 1) keepShorter(shortest, { value: fraction(numbers[0]!), tokens: 1 });
    else extend(start, numbers, 2);
    this.#known.set(key, shortest);
    return shortest;
  }

  /** The ways to take the numbers of one operand from ascending numbers: those taken, and the others. */
  #splits(numbers: readonly number[]): [number[], number[]][] {
    // A parenthesis around all four numbers has the value of what is in it.
    const most = this.#hasParentheses ? MAX_NUMBERS - 1 : 1;
    return Array.from({ length: 2 ** numbers.length - 1 }, (_, i): [number[], number[]] => {
      const isChosen = (index: number) => (((i + 1) >> index) & 1) === 1;
      return [numbers.filter((_, index) => isChosen(index)), numbers.filter((_, index) => !isChosen(index))];
    }).filter(([chosen]) => chosen.length <= most);
  }
}

/** The level after an operand; undefined for a division by zero. */
function withOperand({ sum, factor, divides }: Level, value: Fraction): Level | undefined {
  const product = divides ? divide(factor, value) : multiply(factor, value);
  return product && { sum, factor: product, divides: false };
}

/** The level after an operator, one of + - * /. */
function withOperator({ sum, factor }: Level, operator: string): Level {
  if (operator === "*" || operator === "/") return { sum, factor, divides: operator === "/" };
  return { sum: add(sum, factor), factor: operator === "+" ? one : negate(one), divides: false };
}

/** The value of a level after an operand. */
function levelValue({ sum, factor }: Level): Fraction {
  return add(sum, factor);
}

/** The position after ")"; undefined where nothing is open, or for a division by zero. */
function closed({ levels, needsOperand, rest }: Position): Position | undefined {
  const [inner, enclosing] = [levels.at(-1)!, levels.at(-2)];
  const after = enclosing && withOperand(enclosing, levelValue(inner));
  return after && { levels: [...levels.slice(0, -2), after], needsOperand, rest };
}

/** The operand that brings a level to a value; undefined where none does, or more than one. */
function operandFor({ sum, factor, divides }: Level, value: Fraction): Fraction | undefined {
  const product = add(value, negate(sum));
  // 0 / x is 0 for every x.
  if (factor.numerator === 0) return undefined;
  return divides ? divide(factor, product) : divide(product, factor);
}

function keepShorter(shortest: Map<number, Operand>, operand: Operand): void {
  const key = keyOfValue(operand.value);
  const known = shortest.get(key);
  if (known === undefined || operand.tokens < known.tokens) shortest.set(key, operand);
}

/** A number of its own for every value that four numbers up to 10 can make. */
function keyOfValue({ numerator, denominator }: Fraction): number {
  return numerator * 2 ** 20 + denominator;
}

function keyOf({ levels, needsOperand, rest }: Position): string {
  const open = levels.map(
    ({ sum, factor, divides }) => `${keyOfValue(sum)} ${keyOfValue(factor)} ${divides}`,
  );
  return `${open.join("(")} ${needsOperand} ${rest.join(" ")}`;
}

/** EZPoints: two cards, sums and products, 12. Its plans keep the order of the hand, as the start of `ez-points` learned them. */
export const ezPointsSolver = new FormulaSolver({
  target: 12,
  symbols: ["+", "*"],
  planOrder: "hand",
  maxTokens: 5,
});

/** Points24: four cards, all of arithmetic, 24. */
export const points24Solver = new FormulaSolver({
  target: 24,
  symbols: ["+", "-", "*", "/", "(", ")"],
  planOrder: "descending",
  maxTokens: 20,
});
