import { OutOfRangeError } from "../errors.js";

/** What every expert of the card games and NumberLine can be told. */
export interface ExpertOptions {
  /**
   * Whether responses answer the prompt that asks for a chain of thought, or the one that asks for the action alone. Default
   * true.
   */
  readonly thoughts?: boolean;
}

/**
 * Whether an expert's next decision is to be wrong. Takes one number from `uniform`.
 *
 * @throws RangeError for an error rate outside [0, 1]
 */
export function decidesWrongly(uniform: () => number, errorRate: number): boolean {
  if (!(errorRate >= 0 && errorRate <= 1)) {
    throw new OutOfRangeError("errorRate", "a probability in [0, 1]", errorRate);
  }
  return uniform() < errorRate;
}
