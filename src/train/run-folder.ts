/** The folder that holds everything a run leaves behind. */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { parse as parseYaml, stringify as stringifyYaml } from "yaml";
import { JsonLines } from "./json-lines.js";

export type RunFolderErrorCode =
  | "RUN_FOLDER_NOT_EMPTY"
  | "RUN_FOLDER_UNWRITABLE"
  | "RUN_FOLDER_INVALID"
  | "RUN_FINISHED";

/** A run folder that cannot be used; the message names the folder and the way out. */
export class RunFolderError extends Error {
  readonly code: RunFolderErrorCode;

  constructor(code: RunFolderErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "RunFolderError";
    this.code = code;
  }
}

/**
 * A run's files:
 *
 * | | |
 * |---|---|
 * | `config.yaml` | the complete configuration; `sightline train` takes it as it is |
 * | `versions.json` | software and hardware that the run started on |
 * | `metrics.jsonl` | one line per update; nothing of the clock, so the same seed writes the same bytes |
 * | `timing.jsonl` | one line per update: seconds of it, and since the run began |
 * | `log.jsonl` | what happened when |
 * | `checkpoints/` | see `CheckpointStore` |
 * | `evaluations/`, `episodes/` | held-out panels before and after, and some of their episodes |
 * | `summary.json`, `report.html` | written at the end |
 */
export class RunFolder {
  readonly path: string;
  readonly metrics: JsonLines;
  readonly timing: JsonLines;

  private constructor(path: string) {
    this.path = path;
    this.metrics = new JsonLines(this.file("metrics.jsonl"));
    this.timing = new JsonLines(this.file("timing.jsonl"));
  }

  /**
   * Starts a folder for a new run and writes down its configuration and versions.
   *
   * @param path does not exist or is an empty folder
   * @throws RunFolderError if it holds anything, or cannot be written
   */
  static create(path: string, config: object, systemInfo: object): RunFolder {
    RunFolder.requireFree(path);
    const folder = new RunFolder(resolve(path));
    try {
      mkdirSync(folder.path, { recursive: true });
      writeFileSync(folder.file("config.yaml"), stringifyYaml(config));
      writeFileSync(folder.file("versions.json"), `${JSON.stringify(systemInfo, undefined, 2)}\n`);
    } catch (error) {
      throw unwritable(path, error);
    }
    return folder;
  }

  /**
   * Holds a path against what `create` expects of it, and makes nothing.
   *
   * @throws RunFolderError if it holds anything, or is a file
   */
  static requireFree(path: string): void {
    if (!existsSync(path)) return;
    let names: string[];
    try {
      names = readdirSync(path);
    } catch (error) {
      throw unwritable(path, error);
    }
    if (names.length > 0) {
      throw new RunFolderError(
        "RUN_FOLDER_NOT_EMPTY",
        `run folder ${path}: expected a new or an empty folder, found one that holds files; ` +
          "choose another one with --out, or continue the run in it with --resume",
      );
    }
  }

  /**
   * The folder of a run that has begun, be it finished or not, to read from.
   *
   * @throws RunFolderError if it is no run folder
   */
  static read(path: string): RunFolder {
    const folder = new RunFolder(resolve(path));
    if (existsSync(folder.file("config.yaml"))) return folder;
    throw new RunFolderError(
      "RUN_FOLDER_INVALID",
      `run folder ${path}: expected the folder of an earlier run, found no config.yaml in it; ` +
        "pass the folder that the run printed when it began",
    );
  }

  /**
   * Opens the folder of a run that has begun but not finished.
   *
   * @throws RunFolderError if it is no run folder, cannot be written, or its run is finished
   */
  static open(path: string): RunFolder {
    const folder = RunFolder.read(path);
    if (existsSync(folder.file("summary.json"))) {
      throw new RunFolderError(
        "RUN_FINISHED",
        `run folder ${path}: its run is finished, nothing is left to resume; see its summary.json and report.html`,
      );
    }
    try {
      accessSync(folder.path, constants.W_OK);
    } catch (error) {
      throw unwritable(path, error);
    }
    return folder;
  }

  /** Path of a file or folder inside. */
  file(...names: string[]): string {
    return join(this.path, ...names);
  }

  /** The folder of checkpoints. */
  get checkpoints(): string {
    return this.file("checkpoints");
  }

  /** The last checkpoint; undefined if the run was killed before it saved one. */
  get last(): string | undefined {
    const last = join(this.checkpoints, "last");
    return existsSync(last) ? last : undefined;
  }

  /** The configuration as it was written down. */
  readConfig(): unknown {
    return parseYaml(readFileSync(this.file("config.yaml"), "utf8"));
  }
}

/** `base`, or the first of `base-2`, `base-3`, ... that does not exist. */
export function freeRunFolder(base: string): string {
  let path = base;
  for (let number = 2; existsSync(path); number++) path = `${base}-${number}`;
  return path;
}

/**
 * Makes a folder for results where there is none.
 *
 * @throws RunFolderError if it cannot be made
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw unwritable(path, error);
  }
}

function unwritable(path: string, cause: unknown): RunFolderError {
  return new RunFolderError(
    "RUN_FOLDER_UNWRITABLE",
    `run folder ${path}: cannot be written (${(cause as Error).message}); choose another one with --out`,
    { cause },
  );
}
