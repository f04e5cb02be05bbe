/**
 * A rational number in lowest terms with denominator > 0. Formulas of the card games have at most four numbers up to 10, so
 * numerators and denominators stay far below 2^53 and every operation is exact.
 */
export interface Fraction {
  readonly numerator: number;
  readonly denominator: number;
}

/** numerator / denominator in lowest terms. Both are integers, the denominator is not 0. */
function reduced(numerator: number, denominator: number): Fraction {
  let [divisor, rest] = [Math.abs(numerator), Math.abs(denominator)];
  while (rest !== 0) [divisor, rest] = [rest, divisor % rest];
  const unit = denominator < 0 ? -divisor : divisor;
  // `+ 0` turns -0 into 0, so that equal fractions have equal fields.
  return { numerator: numerator / unit + 0, denominator: denominator / unit };
}

/** The integer as a fraction. */
export function fraction(integer: number): Fraction {
  return { numerator: integer, denominator: 1 };
}

export function add(a: Fraction, b: Fraction): Fraction {
  return reduced(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator);
}

export function negate(a: Fraction): Fraction {
  return { numerator: 0 - a.numerator, denominator: a.denominator };
}

export function multiply(a: Fraction, b: Fraction): Fraction {
  return reduced(a.numerator * b.numerator, a.denominator * b.denominator);
}

/** a / b; undefined for b = 0. */
export function divide(a: Fraction, b: Fraction): Fraction | undefined {
  if (b.numerator === 0) return undefined;
  return reduced(a.numerator * b.denominator, a.denominator * b.numerator);
}
