/** An argument outside what is allowed. */
export class OutOfRangeError extends RangeError {
  readonly code = "OUT_OF_RANGE";

  /**
   * @param parameter name of the argument
   * @param expected the allowed values, in words
   */
  constructor(parameter: string, expected: string, received: unknown) {
    super(`${parameter}: expected ${expected}, received ${String(received)}`);
    this.name = "OutOfRangeError";
  }
}

/** A step while no episode runs: before the first `reset`, or after the episode's end. */
export class NoEpisodeError extends Error {
  readonly code = "NO_EPISODE";

  constructor() {
    super("step: no episode is running (none was started, or it has ended); call reset first");
    this.name = "NoEpisodeError";
  }
}
