import { AlgorithmError } from "./algorithm-error.js";

/** What one field of a configuration may hold, in words and as a test. */
export interface Range {
  readonly expected: string;
  readonly holds: (value: unknown) => boolean;
}

/** A finite number in an interval, which `expected` names. */
function numbers(expected: string, holds: (value: number) => boolean): Range {
  return { expected, holds: (value) => Number.isFinite(value) && holds(value as number) };
}

export const positive = numbers("a number > 0", (value) => value > 0);
export const nonNegative = numbers("a number >= 0", (value) => value >= 0);
export const fraction = numbers("a number in [0, 1]", (value) => value >= 0 && value <= 1);
export const positiveFraction = numbers("a number in (0, 1]", (value) => value > 0 && value <= 1);
export const properFraction = numbers("a number in (0, 1)", (value) => value > 0 && value < 1);
export const positiveInteger = numbers("an integer >= 1", (value) => Number.isInteger(value) && value >= 1);
export const nonNegativeInteger = numbers(
  "an integer >= 0",
  (value) => Number.isInteger(value) && value >= 0,
);

export const adamBetaPair: Range = {
  expected: "two numbers in [0, 1)",
  holds: (value) =>
    Array.isArray(value) && value.length === 2 && value.every((beta) => beta >= 0 && beta < 1),
};

export function greaterThan(bound: number): Range {
  return numbers(`a number > ${bound}`, (value) => value > bound);
}

export function optional(range: Range): Range {
  return {
    expected: `${range.expected} or nothing`,
    holds: (value) => value === undefined || value === null || range.holds(value),
  };
}

/**
 * Holds every field of a configuration against its range.
 *
 * @param name of the configuration, for the message
 * @throws AlgorithmError `INVALID_CONFIG` that lists every field out of range
 */
export function checkConfig<Config extends object>(
  name: string,
  config: Config,
  ranges: Record<keyof Config, Range>,
): void {
  const problems = (Object.entries(ranges) as [keyof Config & string, Range][])
    .filter(([field, range]) => !range.holds(config[field]))
    .map(([field, { expected }]) => `${name}.${field}: expected ${expected}, received ${config[field]}`);
  if (problems.length > 0) throw new AlgorithmError("INVALID_CONFIG", problems.join("\n"));
}
