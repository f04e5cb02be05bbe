const errorCodes = [
  /** An argument is not what it must be; the message names it. */
  "INVALID_ARGUMENT",
  /** The system has no more memory, or the engine's limit is reached. */
  "OUT_OF_MEMORY",
  /** A file cannot be read or written. */
  "IO",
  /** A file does not hold what it must hold. */
  "FORMAT",
  /** The call was aborted. Callers with an `AbortSignal` see the signal's reason instead. */
  "ABORTED",
  /** The engine is disposed. */
  "DISPOSED",
  /** This machine or this build cannot do it. */
  "UNSUPPORTED",
  /** A bug in Sightline. */
  "INTERNAL",
] as const;

/** Kinds of failure that a caller can act on; the native code has the same. */
export type SightlineErrorCode = (typeof errorCodes)[number];

/** What the engine throws and rejects with. The message says what was expected, what was received, and the way out. */
export class SightlineError extends Error {
  readonly code: SightlineErrorCode;

  constructor(code: SightlineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SightlineError";
    this.code = code;
  }

  /**
   * The error for something that native code threw: those are plain errors with a `code` and no stack worth
   * reading. Anything else is returned as it is.
   */
  static fromNative(thrown: unknown): unknown {
    if (!(thrown instanceof Error && "code" in thrown)) return thrown;
    const code = errorCodes.find((known) => known === thrown.code);
    return code ? new SightlineError(code, thrown.message) : thrown;
  }
}
