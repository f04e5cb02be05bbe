/** Formulas as the reference evaluates them, beside Python itself (test/golden/gym-cards/make_formulas.py). */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { evaluateFormula, formulaEquals } from "../../envs/gym-cards/formula.js";
import { pythonFormulaEquals } from "../../envs/gym-cards/python-formula.js";

type Row = readonly [tokens: readonly string[], value: number | null];
const file = new URL("../golden/gym-cards/formulas.json", import.meta.url);
const rows = JSON.parse(readFileSync(file, "utf8")) as Row[];

/** "24*1" as tokens, two-digit tens in one piece. */
function tokensOf(text: string): string[] {
  return text.match(/10|./g) ?? [];
}

describe("a formula under Python's semantics", () => {
  test("has the value that Python computes, bit for bit, and no other", () => {
    const valued = rows.filter(([, value]) => value !== null);
    expect(valued.length).toBeGreaterThan(300);
    for (const [tokens, value] of valued) {
      expect(pythonFormulaEquals(tokens, value!), tokens.join("")).toBe(true);
      const other = value! + Math.max(1, Math.abs(value!)) * 2 ** -50;
      const differing = Number.isInteger(value) ? value! - Math.sign(value! || 1) : other;
      expect(pythonFormulaEquals(tokens, differing), tokens.join("")).toBe(false);
    }
  });

  test("is wrong where Python raises or makes something else than a number", () => {
    const wrong = rows.filter(([, value]) => value === null);
    expect(wrong.length).toBeGreaterThan(50);
    for (const [tokens] of wrong) {
      for (const target of [0, 1, 12, 24]) {
        expect(pythonFormulaEquals(tokens, target), tokens.join("")).toBe(false);
      }
    }
  });

  test.each([
    ["a tower of powers", "9**9**9**9"],
    ["a power of a power", "(9**9)**(9**9)"],
    ["a negative exponent of a tower", "9**-(9**9**9)"],
    ["nested parentheses", `${"(".repeat(200)}24${")".repeat(200)}+9**9**9`],
  ])("ends at once, and is wrong, with %s", (_, text) => {
    expect(pythonFormulaEquals(tokensOf(text), 24)).toBe(false);
  });
});

describe("a formula in exact arithmetic", () => {
  test("agrees with Python's on integers wherever both read the same expression", () => {
    let agreed = 0;
    for (const [tokens, value] of rows) {
      const exact = evaluateFormula(tokens);
      if (exact === undefined || value === null || !Number.isInteger(value)) continue;
      // "//" and "**" of two tokens and numbers side by side are no expressions here, so what is left is plain.
      if (exact.denominator === 1) {
        expect(exact.numerator, tokens.join("")).toBe(value);
        agreed++;
      }
    }
    expect(agreed).toBeGreaterThan(40);
  });

  test.each([
    ["thirds, where floats miss", "8/(3-8/3)", true, false],
    ["side by side", "24*1*1", false, true],
    ["a sign", "-6+6*6-6", false, true],
    ["floor division", "9//2*6*1", false, true],
    ["a power", "2**3*3", false, true],
    ["a plain sum", "6+6+6+6", true, true],
    ["a placeholder at the start", " 6+6+6+6", true, true],
    ["a division by zero", "4/(1-1)*3", false, false],
    ["an open parenthesis", "(6+6+6+6", false, false],
    ["nothing", "", false, false],
    ["empty parentheses", "()", false, false],
    ["a product without a sign", "6(6+6)6", false, false],
  ])("differs from Python's in %s only as documented", (_, text, exact, python) => {
    expect(formulaEquals(tokensOf(text), 24)).toBe(exact);
    expect(pythonFormulaEquals(tokensOf(text), 24)).toBe(python);
  });
});
