import { describe, expect, test } from "vitest";
import { evaluateFormula, formulaEquals } from "../../envs/gym-cards/formula.js";
import { pythonFormulaEquals } from "../../envs/gym-cards/python-formula.js";

/** "10*2" as tokens, a ten in one piece. */
function tokensOf(text: string): string[] {
  return text.match(/10|./g) ?? [];
}

describe("evaluateFormula", () => {
  test.each([
    ["2+3*4", 14, 1],
    ["(2+3)*4", 20, 1],
    ["10-4-3", 3, 1],
    ["8/4/3", 2, 3],
    ["8/(4/3)", 6, 1],
    ["1-10", -9, 1],
    ["1/3+1/6", 1, 2],
    ["3/(1-7)", -1, 2],
    ["((5))", 5, 1],
  ])("computes %s exactly: %d/%d", (text, numerator, denominator) => {
    expect(evaluateFormula(tokensOf(text))).toEqual({ numerator, denominator });
  });

  test.each([
    "",
    "()",
    "(",
    ")",
    "6+",
    "+6",
    "6 6",
    "66",
    "6(6)",
    "(6)6",
    "(6+6",
    "6+6)",
    "6**2",
    "6//2",
    "6/(1-1)",
  ])("finds no value in '%s'", (text) => {
    expect(evaluateFormula(tokensOf(text))).toBeUndefined();
  });
});

describe("exact formulas differ from Python's", () => {
  test.each([
    ["thirds, where floats miss", "8/(3-8/3)", true, false],
    ["numbers side by side", "24*1*1", false, true],
    ["a sign", "-6+6*6-6", false, true],
    ["floor division", "9//2*6*1", false, true],
    ["a power", "2**3*3", false, true],
  ])("in %s", (_, text, exact, python) => {
    expect(formulaEquals(tokensOf(text), 24)).toBe(exact);
    expect(pythonFormulaEquals(tokensOf(text), 24)).toBe(python);
  });

  test.each([
    ["a plain sum", "6+6+6+6", true],
    ["placeholders around operators", " 6 + 6+6+6 ", true],
    ["a division by zero", "4/(1-1)*3", false],
    ["another value", "6+6+6+5", false],
    ["a fraction", "7/2", false],
  ])("but not in %s", (_, text, expected) => {
    expect(formulaEquals(tokensOf(text), 24)).toBe(expected);
    expect(pythonFormulaEquals(tokensOf(text), 24)).toBe(expected);
  });
});
