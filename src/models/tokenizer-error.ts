export type TokenizerErrorCode =
  | "UNKNOWN_DECODER"
  | "NOT_BYTE_LEVEL"
  | "VOCABULARY_TOO_LARGE"
  | "UNKNOWN_TOKEN"
  | "INVALID_CHARACTER_INDEX";

/** A vocabulary that cannot be used, or an argument that names nothing in it. */
export class TokenizerError extends Error {
  constructor(
    readonly code: TokenizerErrorCode,
    message: string,
  ) {
    super(message);
    this.name = "TokenizerError";
  }
}
