/** The checkpoints of a run: written so that a kill at any moment leaves the last one whole. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, open, readdir, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Policy } from "../policy/policy.js";
import type { StopState } from "./stop-rule.js";

/** A policy that can write itself to a folder and come back from it, optimizer state included. */
export interface CheckpointedPolicy extends Policy {
  /** @param folder where to write; made if it does not exist */
  saveCheckpoint(folder: string, options: { optimizer: boolean }): Promise<void>;
  /** Takes on the weights, and the optimizer state if the folder has it. */
  loadCheckpoint(folder: string): Promise<void>;
}

/** Where a run stands after an update: with the policy's checkpoint, enough to continue bit for bit. */
export interface RunState<State> {
  /** Finished updates. */
  readonly update: number;
  readonly environmentSteps: number;
  /** What the algorithm resumes from; null before its first update. */
  readonly algorithm: State | null;
  readonly stop: StopState;
}

const STATE_FILE = "state.json";

/**
 * A folder of checkpoints `update-000012`, and two links into it: `last`, which a run resumes from, and
 * `best`, the weights that did best so far.
 *
 * A checkpoint is written under another name, flushed to disk, and renamed; then `last` moves in one step. So
 * `last` always leads to a whole checkpoint. `best` follows what the state of `last` says, and is put right
 * when the folder is opened after a kill in between.
 */
export class CheckpointStore<State> {
  readonly #folder: string;
  #saved: number | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Opens the folder, makes it if need be, and clears away what an interrupted save left. */
  static async open<State>(folder: string): Promise<CheckpointStore<State>> {
    const store = new CheckpointStore<State>(folder);
    await mkdir(folder, { recursive: true });
    const state = store.lastState();
    store.#saved = state?.update;
    await store.#tidy(state);
    return store;
  }

  /** Path of the link to the last checkpoint. */
  get last(): string {
    return join(this.#folder, "last");
  }

  /** Path of the link to the best checkpoint. */
  get best(): string {
    return join(this.#folder, "best");
  }

  /** The update that the last checkpoint was saved after; undefined before the first save. */
  get savedUpdate(): number | undefined {
    return this.#saved;
  }

  /** The state in the last checkpoint; undefined before the first save. */
  lastState(): RunState<State> | undefined {
    const path = join(this.last, STATE_FILE);
    return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as RunState<State>) : undefined;
  }

  /**
   * Saves the policy and the state after `state.update`, and forgets all checkpoints but this and the best.
   * Each update is saved at most once.
   */
  async save(policy: CheckpointedPolicy, state: RunState<State>): Promise<void> {
    const name = checkpointName(state.update);
    const temporary = join(this.#folder, `.${name}`);
    await mkdir(temporary);
    await policy.saveCheckpoint(temporary, { optimizer: true });
    await writeFile(join(temporary, STATE_FILE), `${JSON.stringify(state)}\n`);
    for (const file of await readdir(temporary)) await flush(join(temporary, file));
    await flush(temporary);
    await rename(temporary, join(this.#folder, name));
    await this.#link("last", name);
    this.#saved = state.update;
    await this.#tidy(state);
  }

  /** Makes `best` lead to a saved checkpoint. */
  async markBest(update: number): Promise<void> {
    await this.#link("best", checkpointName(update));
  }

  async #tidy(state: RunState<State> | undefined): Promise<void> {
    const kept = new Set(["last", "best"]);
    if (state !== undefined) kept.add(checkpointName(state.update));
    if (state?.stop.best != null) {
      kept.add(checkpointName(state.stop.best.update));
      await this.markBest(state.stop.best.update);
    }
    for (const entry of await readdir(this.#folder)) {
      if (!kept.has(entry)) await rm(join(this.#folder, entry), { recursive: true, force: true });
    }
    await flush(this.#folder);
  }

  async #link(link: string, target: string): Promise<void> {
    const path = join(this.#folder, link);
    if (existsSync(path) && (await readlink(path)) === target) return;
    const temporary = `${path}.new`;
    await rm(temporary, { force: true });
    await symlink(target, temporary);
    await rename(temporary, path);
    await flush(this.#folder);
  }
}

function checkpointName(update: number): string {
  return `update-${String(update).padStart(6, "0")}`;
}

/** Waits until a file, or the entries of a folder, are on disk. */
async function flush(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
