/** Plays the runs of an ablation. Each is an ordinary run in a folder of its own: what is finished stays, the rest goes on. */
import { existsSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { PlannedArm, PlannedRun } from "./ablation.js";
import type { CheckpointedPolicy } from "./checkpoint-store.js";
import { type PolicyConfig, resumedConfig } from "./load-policy.js";
import { type Progress, silentProgress } from "./progress.js";
import { RunFolder, RunFolderError } from "./run-folder.js";
import { readSummary } from "./summary.js";
import { systemInfo } from "./system-info.js";
import type { Task } from "./tasks.js";
import { train } from "./train.js";

export interface AblateOptions {
  readonly arms: readonly PlannedArm[];
  loadPolicy(config: PolicyConfig): Promise<CheckpointedPolicy>;
  findTask(name: string): Task;
  readonly progress?: Progress;
  /** Ends the run at hand with a checkpoint, and plays no further one. */
  readonly signal?: AbortSignal;
}

export interface AblateOutcome {
  readonly isInterrupted: boolean;
  /** Why runs did not come to their end, by run folder. */
  readonly problems: ReadonlyMap<string, string>;
}

/**
 * Plays every run that is not finished: one seed of all arms after the other, an arm's start before its first run. A run that
 * fails is noted, and the others are played.
 *
 * @throws RunFolderError, before anything is played, for a folder that holds a run of another configuration
 */
export async function ablate(options: AblateOptions): Promise<AblateOutcome> {
  const { arms, progress = silentProgress, signal } = options;
  const seeds = Math.max(...arms.map(({ runs }) => runs.length));
  const order = Array.from({ length: seeds }, (_, index) =>
    arms.flatMap(({ name, start, runs }) => {
      const run = runs[index];
      return run === undefined ? [] : [{ title: `${name}, seed ${run.seed}`, start, run }];
    }),
  ).flat();
  for (const { start, run } of order) {
    for (const planned of [start, run]) if (planned !== undefined) requireSameConfig(planned);
  }
  const problems = new Map<string, string>();
  const play = async (title: string, planned: PlannedRun): Promise<void> => {
    const { folder } = planned;
    if (problems.has(folder) || (await readSummary(folder)) !== undefined) return;
    progress.message(`${title}: ${folder}`);
    try {
      await playRun(planned, options);
    } catch (error) {
      problems.set(folder, error instanceof Error ? error.message : String(error));
      progress.message(`failed: ${problems.get(folder)}`);
    }
  };
  for (const [index, { title, start, run }] of order.entries()) {
    const position = `run ${index + 1} of ${order.length}, ${title}`;
    if (start !== undefined) await play(`the start of ${position}`, start);
    if (signal?.aborted) return { isInterrupted: true, problems };
    const startProblem = start && problems.get(start.folder);
    if (startProblem === undefined) await play(position, run);
    else problems.set(run.folder, `its start failed: ${startProblem}`);
    if (signal?.aborted) return { isInterrupted: true, problems };
  }
  return { isInterrupted: false, problems };
}

async function playRun(
  { config, folder: path }: PlannedRun,
  { loadPolicy, findTask, progress, signal }: AblateOptions,
): Promise<void> {
  const begun = hasBegun(path) ? RunFolder.open(path) : undefined;
  const policy = await loadPolicy(begun === undefined ? config : resumedConfig(config, begun));
  try {
    const folder = begun ?? RunFolder.create(path, config, systemInfo());
    await train({
      config,
      task: findTask(config.task),
      policy,
      folder,
      ...(progress && { progress }),
      ...(signal && { signal }),
    });
  } finally {
    policy.dispose();
  }
}

/** A folder that holds the same run may be gone on with; one that holds another would be taken for this one. */
function requireSameConfig({ config, folder: path }: PlannedRun): void {
  if (!hasBegun(path)) {
    RunFolder.requireFree(path);
    return;
  }
  const written: unknown = RunFolder.read(path).readConfig();
  if (isDeepStrictEqual(plain(written), plain(config))) return;
  throw new RunFolderError(
    "RUN_FOLDER_INVALID",
    `run folder ${path}: expected a new or an empty folder, or the same run begun, found a run of another configuration; ` +
      "choose another folder with --out",
  );
}

function hasBegun(path: string): boolean {
  return existsSync(`${path}/config.yaml`);
}

/** Without what is undefined, which files do not hold. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
