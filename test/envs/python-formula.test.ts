import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { pythonFormulaEquals } from "../../envs/gym-cards/python-formula.js";

/** Tokens, and the integer that Python's eval finds; null where it raises or finds none. */
type Case = [tokens: string[], value: number | null];

const golden = new URL("../golden/gym-cards/python-formulas.json", import.meta.url);
const cases = JSON.parse(readFileSync(golden, "utf8")) as Case[];

/** Tried for every formula, beside its value. */
const TARGETS = [0, 1, 10, 12, 24];

describe("pythonFormulaEquals", () => {
  test("agrees with Python on 600 formulas", () => {
    expect(cases).toHaveLength(600);
    for (const [tokens, value] of cases) {
      const equal = [...TARGETS, ...(value === null ? [] : [value])].filter((target) =>
        pythonFormulaEquals(tokens, target),
      );
      expect([tokens.join(""), [...new Set(equal)]]).toEqual([
        tokens.join(""),
        value === null ? [] : [value],
      ]);
    }
  });

  const tokens = (formula: string) => formula.split("");

  test.each([
    ["24*1*1", 24, true],
    ["8/(3-8/3)", 24, false],
    ["5**2-1", 24, true],
    ["2**-1*48", 24, true],
    ["-2**2", -4, true],
    ["2**3**2", 512, true],
    ["-7//2", -4, true],
    ["  24", 24, true],
    ["2 4", 24, false],
    ["* *", 24, false],
    ["5* *2", 25, false],
    ["4(6)", 24, false],
    ["()", 24, false],
    ["", 24, false],
    ["24/(1-1)", 24, false],
    ["24//(1-1)", 24, false],
    ["(1-1)**-1", 24, false],
    ["(-4)**(1/2)", 2, false],
  ])("%s == %i: %s", (formula, target, expected) => {
    expect(pythonFormulaEquals(tokens(formula), target)).toBe(expected);
  });

  test("rounds quotients of large integers once, as Python does", () => {
    // 3 (2^53 + 1) + 1 over 2^53 + 1 is above 3 by less than half the spacing of floats there.
    expect(pythonFormulaEquals(tokens("(3*(2**53+1)+1)/(2**53+1)"), 3)).toBe(true);
    // 9007199254740993 = 2^53 + 1 is no float: divided by 1 it rounds to even.
    expect(pythonFormulaEquals(tokens("9007199254740993/1-9007199254740992"), 0)).toBe(true);
    // Rounding both operands first would give 1.
    expect(pythonFormulaEquals(tokens("36028797018963971/36028797018963967"), 1)).toBe(false);
    // The same above a tie, and below zero.
    expect(pythonFormulaEquals(tokens("-(3*(2**53+1)+1)/3"), -(2 ** 53 + 2))).toBe(true);
    // Floats of these operands are infinite; their quotient is not.
    expect(pythonFormulaEquals(tokens("24*10**400/10**400"), 24)).toBe(true);
  });

  test("ends powers of any size at once, as wrong", () => {
    for (const formula of ["9**9**9**9", "10**10**10", "(2**4096)**4096", "1+99**9999999//3"]) {
      expect(pythonFormulaEquals(tokens(formula), 24)).toBe(false);
    }
    expect(pythonFormulaEquals(tokens("1**9**3*24"), 24)).toBe(true);
    expect(pythonFormulaEquals(tokens("(1-2)**999999999*24"), -24)).toBe(true);
  });
});
