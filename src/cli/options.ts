/** How option values are read, for commander. */
import { InvalidArgumentError } from "commander";

/** Reads an integer in [minimum, maximum]. */
export function integer(minimum: number, maximum = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isInteger(value) || value < minimum || value > maximum) {
      throw new InvalidArgumentError(
        `expected an integer >= ${minimum}${maximum < Number.MAX_SAFE_INTEGER ? ` and <= ${maximum}` : ""}`,
      );
    }
    return value;
  };
}

/** Reads a finite number > 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError("expected a number > 0");
  return value;
}

/** Reads a finite number >= 0. */
export function notNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0) || !Number.isFinite(value)) {
    throw new InvalidArgumentError("expected a number >= 0");
  }
  return value;
}

/** Reads a number in [0, 1]. */
export function rate(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1)) {
    throw new InvalidArgumentError("expected a number in [0, 1]");
  }
  return value;
}

/** Gathers the values of an option that may be repeated. */
export function collect(value: string, earlier: readonly string[]): string[] {
  return [...earlier, value];
}
