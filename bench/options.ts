/** Values of options of the command line. */
import { InvalidArgumentError } from "commander";

/** @throws InvalidArgumentError */
export function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError("expected an integer >= 1.");
}

/** @throws InvalidArgumentError */
export function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InvalidArgumentError("expected a regular expression.");
  }
}
