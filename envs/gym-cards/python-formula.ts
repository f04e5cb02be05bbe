/**
 * Formulas as the reference evaluates them: the tokens are joined to one string and given to Python's `eval`, and the result is
 * compared by `==`. So adjacent numbers concatenate ("2", "4" is 24), two "*" are a power and two "/" a floor division, signs
 * are allowed, "/" is a division of floats, and every exception counts as a wrong formula.
 */

/** An int of Python (any size) or a float. */
type Value = bigint | number;

/** What Python raises, and what it computes that cannot equal an integer: complex numbers, and "()", the empty tuple. */
class NoNumber extends Error {}

/** Powers with more bits are not computed, where Python would go on for hours; they count as wrong. */
const MAX_POWER_BITS = 4096;

/**
 * Whether `eval` of the joined tokens gives what equals the target.
 *
 * Differs from Python in bounded cost alone: a formula with a power of more than 4096 bits counts as wrong. Floats are those of
 * IEEE 754 in both; a power of floats is the C library's in Python, Math.pow here, which may differ in the last bit.
 *
 * @param tokens decimal numbers, + - * / ( ), and " "
 */
export function pythonFormulaEquals(tokens: readonly string[], target: number): boolean {
  try {
    const value = new PythonExpression(tokens.join("")).value();
    return typeof value === "bigint" ? value === BigInt(target) : value === target;
  } catch (error) {
    if (error instanceof NoNumber) return false;
    throw error;
  }
}

/** Recursive descent over Python's grammar of arithmetic, evaluating on the way. */
class PythonExpression {
  readonly #tokens: readonly string[];
  #position = 0;

  constructor(text: string) {
    // Spaces part tokens and mean nothing else: "1 0" is two numbers side by side, a syntax error.
    this.#tokens = text.match(/\d+|\*\*|\/\/|[^\s]/g) ?? [];
  }

  value(): Value {
    const value = this.#sum();
    if (this.#position < this.#tokens.length) throw new NoNumber();
    return value;
  }

  #accept(...expected: readonly string[]): string | undefined {
    const token = this.#tokens[this.#position];
    if (token === undefined || !expected.includes(token)) return undefined;
    this.#position++;
    return token;
  }

  #sum(): Value {
    let value = this.#product();
    for (let sign = this.#accept("+", "-"); sign !== undefined; sign = this.#accept("+", "-")) {
      const next = this.#product();
      value = add(value, sign === "+" ? next : negate(next));
    }
    return value;
  }

  #product(): Value {
    let value = this.#signed();
    for (;;) {
      const operator = this.#accept("*", "/", "//");
      if (operator === undefined) return value;
      const next = this.#signed();
      value =
        operator === "*"
          ? multiply(value, next)
          : operator === "/"
            ? divide(value, next)
            : floorDivide(value, next);
    }
  }

  #signed(): Value {
    const sign = this.#accept("+", "-");
    if (sign === undefined) return this.#power();
    const value = this.#signed();
    return sign === "-" ? negate(value) : value;
  }

  /** A power binds more tightly than a sign on its left and less tightly than one on its right. */
  #power(): Value {
    const base = this.#primary();
    return this.#accept("**") === undefined ? base : power(base, this.#signed());
  }

  #primary(): Value {
    const token = this.#tokens[this.#position++];
    if (token === "(") {
      const value = this.#sum();
      if (this.#accept(")") === undefined) throw new NoNumber();
      return value;
    }
    if (token === undefined || !/^\d/.test(token)) throw new NoNumber();
    return BigInt(token);
  }
}

function toFloat(value: Value): number {
  const float = Number(value);
  // OverflowError: int too large to convert to float.
  if (typeof value === "bigint" && !Number.isFinite(float)) throw new NoNumber();
  return float;
}

function negate(value: Value): Value {
  return typeof value === "bigint" ? -value : -value;
}

function add(a: Value, b: Value): Value {
  return typeof a === "bigint" && typeof b === "bigint" ? a + b : toFloat(a) + toFloat(b);
}

function multiply(a: Value, b: Value): Value {
  return typeof a === "bigint" && typeof b === "bigint" ? a * b : toFloat(a) * toFloat(b);
}

function divide(a: Value, b: Value): number {
  if (Number(b) === 0) throw new NoNumber();
  if (typeof a === "bigint" && typeof b === "bigint") return divideInts(a, b);
  return toFloat(a) / toFloat(b);
}

/** The quotient of any two ints, rounded once to the nearest float. b is not 0. */
function divideInts(a: bigint, b: bigint): number {
  const sign = a < 0n === b < 0n ? 1 : -1;
  const divisor = magnitude(b);
  // More bits than a float has, and a last one that says whether there would be others, round as all of them do.
  const shift = BigInt(Math.max(0, 66 + bitsOf(b) - bitsOf(a)));
  const dividend = magnitude(a) << shift;
  const isExact = dividend % divisor === 0n;
  const quotient = (dividend / divisor) | (isExact ? 0n : 1n);
  return (sign * toFloat(quotient)) / 2 ** Number(shift);
}

function magnitude(int: bigint): bigint {
  return int < 0n ? -int : int;
}

function bitsOf(int: bigint): number {
  return magnitude(int).toString(2).length;
}

function floorDivide(a: Value, b: Value): Value {
  if (Number(b) === 0) throw new NoNumber();
  if (typeof a === "bigint" && typeof b === "bigint") {
    const quotient = a / b;
    return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient;
  }
  // As CPython does for floats: from the remainder, so that rounding of a / b never shows.
  const [dividend, divisor] = [toFloat(a), toFloat(b)];
  const remainder = dividend % divisor;
  let quotient = (dividend - remainder) / divisor;
  if (remainder !== 0 && divisor < 0 !== remainder < 0) quotient -= 1;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function power(base: Value, exponent: Value): Value {
  if (typeof base === "bigint" && typeof exponent === "bigint" && exponent >= 0n) {
    if (
      BigInt(bitsOf(base)) * exponent > BigInt(MAX_POWER_BITS) &&
      base !== 0n &&
      base !== 1n &&
      base !== -1n
    )
      throw new NoNumber();
    return base ** exponent;
  }
  const [x, y] = [toFloat(base), toFloat(exponent)];
  // ZeroDivisionError; a complex number.
  if ((x === 0 && y < 0) || (x < 0 && !Number.isInteger(y))) throw new NoNumber();
  const result = x ** y;
  // OverflowError.
  if (!Number.isFinite(result) && Number.isFinite(x) && Number.isFinite(y)) throw new NoNumber();
  return result;
}
