/** Writes a data set of demonstrations that other stacks can train on as well (see `demonstration-data.ts`). */
import { createHash } from "node:crypto";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Frame } from "../../envs/env.js";
import { demonstratedEpisodes } from "../algorithms/demonstrations.js";
import { ConfigError } from "./config-error.js";
import { DemonstrationDataError } from "./demonstration-data.js";
import { encodePng } from "./png.js";
import { packageVersion } from "./system-info.js";
import type { Task } from "./tasks.js";
import { writeWhole } from "./write-whole.js";

export interface WriteDemonstrationsOptions {
  readonly task: Task;
  /** New, or empty. */
  readonly folder: string;
  /** How much to write, >= 1: records, or whole episodes. */
  readonly amount: { readonly samples: number } | { readonly episodes: number };
  /** Unsigned 32-bit integer; with the other options it fixes every byte. */
  readonly seed: number;
  /** Probability that a demonstration's decision is wrong, in [0, 1]. */
  readonly errorRate: number;
  /** Probability that the action played is uniformly random and not the expert's right one, in [0, 1]. */
  readonly randomActionRate: number;
  /** Whether prompts ask for a chain of thought, and responses hold one. */
  readonly thoughts: boolean;
}

/** What was written. */
export interface DemonstrationCounts {
  readonly records: number;
  readonly episodes: number;
  /** Distinct frames, one file each. */
  readonly images: number;
}

/** Name of the file with the records. */
export const RECORDS_FILE = "demonstrations.jsonl";

/**
 * Lets the task's expert play and writes each of its decisions: `demonstrations.jsonl`, `images/<digest>.png` with each
 * distinct frame once, and, as the last file, `README.md` that says how the set was made.
 *
 * @throws ConfigError for a task without an expert, DemonstrationDataError `FOLDER_UNUSABLE` for a folder that
 * holds files or cannot be written
 */
export async function writeDemonstrations(options: WriteDemonstrationsOptions): Promise<DemonstrationCounts> {
  const { task, folder, amount, thoughts } = options;
  const expert = task.makeExpert?.({ thoughts });
  if (expert === undefined) {
    throw new ConfigError("demos", [
      { path: "task", expected: "a task with an expert", received: `"${task.name}", which has none` },
    ]);
  }
  await makeDataFolder(folder);
  const environment = task.makeEnvironment({ thoughts });
  const lines: string[] = [];
  const images = new Set<string>();
  let episodes = 0;
  try {
    for await (const { episode, step, frame, prompt, response } of demonstratedEpisodes(
      { environment, expert, seed: options.seed },
      options,
    )) {
      if ("samples" in amount ? lines.length === amount.samples : episode === amount.episodes) break;
      const record = {
        id: `${task.name}-seed${options.seed}-episode${episode}-step${step}`,
        image: await writeImage(folder, frame, images),
        conversations: [
          { from: "human", value: `<image>\n${prompt}` },
          { from: "gpt", value: response },
        ],
      };
      lines.push(`${JSON.stringify(record)}\n`);
      episodes = episode + 1;
    }
  } finally {
    environment.close?.();
  }
  await writeWhole(join(folder, RECORDS_FILE), lines.join(""));
  const counts = { records: lines.length, episodes, images: images.size };
  await writeWhole(join(folder, "README.md"), describe(options, counts));
  return counts;
}

/** Makes the folder of a data set, with that of its images. */
async function makeDataFolder(folder: string): Promise<void> {
  let names: string[];
  try {
    await mkdir(folder, { recursive: true });
    names = await readdir(folder);
    if (names.length === 0) await mkdir(join(folder, "images"));
  } catch (error) {
    const reason = (error as Error).message;
    throw new DemonstrationDataError("FOLDER_UNUSABLE", `${folder}: cannot be written (${reason})`, {
      cause: error,
    });
  }
  if (names.length === 0) return;
  throw new DemonstrationDataError(
    "FOLDER_UNUSABLE",
    `${folder}: expected a new or an empty folder, found one that holds files; choose another one with --out`,
  );
}

/** Writes a frame unless it was written before. @returns its path within the folder */
async function writeImage(folder: string, frame: Frame, written: Set<string>): Promise<string> {
  const { width, height, data } = frame;
  const digest = createHash("sha256").update(`${width}x${height}:`).update(data).digest("hex").slice(0, 24);
  const name = `images/${digest}.png`;
  if (!written.has(name)) await writeFile(join(folder, name), encodePng(frame));
  written.add(name);
  return name;
}

function describe(
  { task, amount, seed, errorRate, randomActionRate, thoughts }: WriteDemonstrationsOptions,
  { records, episodes, images }: DemonstrationCounts,
): string {
  const [size, count] = Object.entries(amount)[0]!;
  const flags = [
    `--${size} ${count}`,
    `--seed ${seed}`,
    `--error-rate ${errorRate}`,
    `--random-action-rate ${randomActionRate}`,
    ...(thoughts ? [] : ["--action-only"]),
  ];
  return `# Demonstrations of ${task.name}

${records} decisions of ${episodes} episodes, with ${images} distinct frames, written by the task's expert from the true state of the
game.

- Environment: ${task.makeEnvironment({ thoughts }).id}; prompts that ask for ${thoughts ? "a chain of thought and an action" : "the action alone"}.
- Decisions: each is wrong with probability ${errorRate}; the state is read correctly throughout, and thought and action agree.
- States: of episodes in which the expert's right action is played, or with probability ${randomActionRate} a uniformly random one.
- Made by: sightline ${packageVersion()}, \`sightline demos ${task.name} ${flags.join(" ")}\`. The same command writes the same bytes.

## Format

\`${RECORDS_FILE}\` holds one JSON object per line, in the conversation format of LLaVA: \`id\` (task, seed, episode and step), \`image\`
(a path within this folder) and \`conversations\`, one turn of \`human\`, the prompt after \`<image>\`, and one of \`gpt\`, the response to
imitate. \`sightline sft <config> --set sft.data=<this folder>/${RECORDS_FILE}\` trains on it.
`;
}
