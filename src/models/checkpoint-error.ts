export type CheckpointErrorCode =
  | "FOLDER_MISSING"
  | "FOLDER_TAKEN"
  | "FILE_MISSING"
  | "FILE_INVALID"
  | "FILES_DISAGREE";

/** A model folder that cannot be used; the message names the file and what was expected of it. */
export class CheckpointError extends Error {
  constructor(
    readonly code: CheckpointErrorCode,
    readonly path: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${problem}`, options);
    this.name = "CheckpointError";
  }
}
