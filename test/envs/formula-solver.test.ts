import { describe, expect, test } from "vitest";
import {
  ezPointsSolver,
  type FormulaRules,
  FormulaSolver,
  points24Solver,
} from "../../envs/gym-cards/formula-solver.js";
import { deriveKey, Random } from "../../src/random.js";

/** Value of a well-formed formula in floating point, by recursive descent; undefined for any other text. */
function evaluate(text: string): number | undefined {
  const tokens = text.match(/\d+|[-+*/()]/g) ?? [];
  let next = 0;
  const operand = (): number => {
    const token = tokens[next++];
    if (token === "(") {
      const value = sum();
      return tokens[next++] === ")" ? value : Number.NaN;
    }
    return /^\d+$/.test(token ?? "") ? Number(token) : Number.NaN;
  };
  const product = (): number => {
    let value = operand();
    while (tokens[next] === "*" || tokens[next] === "/") {
      value = tokens[next++] === "*" ? value * operand() : value / operand();
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    while (tokens[next] === "+" || tokens[next] === "-") {
      value = tokens[next++] === "+" ? value + product() : value - product();
    }
    return value;
  };
  const value = sum();
  return next === tokens.length && Number.isFinite(value) ? value : undefined;
}

/** Whether a token may stand after another one in a formula that can still become well formed. */
function mayFollow(before: string | undefined, token: string): boolean {
  const endsOperand = before !== undefined && (before === ")" || /\d/.test(before));
  return token === "(" || /\d/.test(token) ? !endsOperand : endsOperand;
}

/** All tokens that lead to the target, by trying every continuation up to the longest formula. */
class BruteForce {
  readonly #solvable = new Map<string, boolean>();

  constructor(readonly rules: FormulaRules) {}

  nextTokens(numbers: readonly number[], formula: readonly string[]): string[] {
    if (!this.#isSolvable(numbers, formula)) return [];
    if (this.#isFinished(numbers, formula)) return ["="];
    const candidates = new Set([...numbers.map(String), ...this.rules.symbols]);
    return [...candidates].filter((token) => this.#isSolvable(numbers, [...formula, token]));
  }

  #isFinished(numbers: readonly number[], formula: readonly string[]): boolean {
    const used = formula.filter((token) => /\d/.test(token));
    if (used.length !== numbers.length || formula.length > this.rules.maxTokens) return false;
    const value = evaluate(formula.join(" "));
    return value !== undefined && Math.abs(value - this.rules.target) < 1e-9;
  }

  #isSolvable(numbers: readonly number[], formula: readonly string[]): boolean {
    const rest = [...numbers];
    for (const [i, token] of formula.entries()) {
      if (!mayFollow(formula[i - 1], token)) return false;
      if (!/\d/.test(token)) continue;
      const index = rest.indexOf(Number(token));
      if (index === -1) return false;
      rest.splice(index, 1);
    }
    const open =
      formula.filter((token) => token === "(").length - formula.filter((token) => token === ")").length;
    const { maxTokens, symbols } = this.rules;
    if (open < 0 || formula.length + open + 2 * rest.length - 1 > maxTokens) return false;
    const key = `${numbers}:${formula.join(" ")}`;
    const known = this.#solvable.get(key);
    if (known !== undefined) return known;
    const tokens = [...new Set(rest.map(String)), ...symbols];
    const solvable =
      this.#isFinished(numbers, formula) ||
      tokens.some((token) => this.#isSolvable(numbers, [...formula, token]));
    this.#solvable.set(key, solvable);
    return solvable;
  }
}

describe("FormulaSolver", () => {
  test("agrees with brute force on every EZPoints hand and formula", () => {
    const brute = new BruteForce(ezPointsSolver.rules);
    for (let a = 1; a <= 10; a++) {
      for (let b = a; b <= 10; b++) {
        const tokens = [...new Set([String(a), String(b), "+", "*"])];
        const check = (formula: readonly string[]): void => {
          expect(ezPointsSolver.nextTokens([b, a], formula), `${b},${a}: ${formula.join(" ")}`).toEqual(
            brute.nextTokens([b, a], formula),
          );
          if (formula.length < 4) for (const token of tokens) check([...formula, token]);
        };
        check([]);
      }
    }
  });

  test("agrees with brute force on formulas of four cards", () => {
    // Short formulas, so that every continuation can be tried: at most one pair of parentheses.
    const rules = { ...points24Solver.rules, maxTokens: 9 };
    const brute = new BruteForce(rules);
    const solver = new FormulaSolver(rules);
    const random = new Random(deriveKey(8));
    const hands = [
      [3, 8, 3, 8],
      [6, 1, 3, 4],
      [10, 2, 4, 10],
    ];
    for (const numbers of hands) {
      for (let walk = 0; walk < 6; walk++) {
        const formula: string[] = [];
        for (;;) {
          const expected = brute.nextTokens(numbers, formula);
          expect(solver.nextTokens(numbers, formula), `${numbers}: ${formula.join("")}`).toEqual(expected);
          if (expected.length === 0 || expected[0] === "=" || formula.length > rules.maxTokens) break;
          // Mostly on, so that the end is reached, and sometimes astray.
          formula.push(random.pick(random.integer(8) === 0 ? rules.symbols : expected));
        }
      }
    }
  });

  test("plans the shortest formula and stays with it", () => {
    expect(ezPointsSolver.plan([7, 5], [])).toEqual(["7", "+", "5"]);
    expect(ezPointsSolver.plan([5, 7], [])).toEqual(["5", "+", "7"]);
    expect(ezPointsSolver.plan([2, 6], ["6"])).toEqual(["*", "2"]);
    expect(points24Solver.plan([8, 3, 8, 3], [])!.join("")).toBe("8/(3-8/3)");
    expect(points24Solver.plan([4, 4, 10, 10], [])!.join("")).toBe("(10*10-4)/4");
    const plan = points24Solver.plan([9, 7, 6, 2], [])!;
    for (const [i] of plan.entries()) {
      expect(points24Solver.plan([9, 7, 6, 2], plan.slice(0, i))).toEqual(plan.slice(i));
    }
  });

  test("plans one formula of Points24 for a hand in whatever order its cards lie, the largest number first", () => {
    for (const hand of [
      [1, 2, 3, 4],
      [4, 3, 2, 1],
      [3, 1, 4, 2],
    ]) {
      expect(points24Solver.plan(hand, [])!.join("")).toBe("4*3*2*1");
      expect(points24Solver.plan(hand, ["1"])!.join("")).toBe("*4*3*2");
    }
  });

  test("counts placeholders as length and as nothing else", () => {
    expect(ezPointsSolver.nextTokens([5, 7], ["5", " ", "+"])).toEqual(["7"]);
    expect(ezPointsSolver.nextTokens([5, 7], ["5", " ", " ", "+"])).toEqual(["7"]);
    expect(ezPointsSolver.nextTokens([5, 7], ["5", " ", " ", " ", "+"])).toEqual([]);
    expect(ezPointsSolver.nextTokens([5, 7], [" ", "5", "+", "7", " "])).toEqual(["="]);
    expect(ezPointsSolver.nextTokens([5, 7], [" ", "5", "+", "7", " ", " "])).toEqual([]);
    const nested = (depth: number) => points24Solver.nextTokens([1, 2, 3, 4], Array(depth).fill("("));
    expect(nested(5)).toContain("(");
    expect(nested(6)).toEqual(["1", "2", "3", "4"]);
    expect(nested(7)).toEqual([]);
  });

  test("gives up what nothing can save, and never a formula that can be saved", () => {
    expect(ezPointsSolver.bestTokens([5, 7], ["5", "*"])).toEqual(["="]);
    expect(points24Solver.bestTokens([1, 1, 1, 1], [])).toEqual(["="]);
    expect(points24Solver.bestTokens([3, 3, 8, 8], ["8", "/"])).toEqual(["("]);
    expect(points24Solver.bestTokens([5, 5, 2, 2], ["5", "5"])).toEqual(["="]);
    expect(points24Solver.bestTokens([5, 5, 2, 2], ["5", "/", "(", "2", "-", "2", ")"])).toEqual(["="]);
  });
});
