/**
 * `INVALID_CONFIG`: a setting is out of range. `LOG_PROB_MISMATCH`: sampling and scoring disagree about the same
 * tokens. `NOT_FINITE`: a log-prob, value, loss or gradient is NaN or infinite.
 */
export type AlgorithmErrorCode = "INVALID_CONFIG" | "LOG_PROB_MISMATCH" | "NOT_FINITE";

/** An algorithm cannot go on. */
export class AlgorithmError extends Error {
  readonly code: AlgorithmErrorCode;

  constructor(code: AlgorithmErrorCode, message: string) {
    super(message);
    this.name = "AlgorithmError";
    this.code = code;
  }
}

/**
 * Refuses NaN and infinities.
 *
 * @param quantities by name, for the message
 * @param where in the run, for the message
 * @throws AlgorithmError `NOT_FINITE`
 */
export function requireFinite(quantities: Readonly<Record<string, number>>, where: string): void {
  if (Object.values(quantities).every(Number.isFinite)) return;
  const received = Object.entries(quantities).map(([name, value]) => `${name} ${value}`);
  throw new AlgorithmError(
    "NOT_FINITE",
    `${where}: expected finite numbers, received ${received.join(", ")}; continue from the last checkpoint, with a ` +
      "lower learning rate if it happens again",
  );
}
