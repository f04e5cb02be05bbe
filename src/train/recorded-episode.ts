/** Episodes on disk: one folder each, with every frame as PNG and `episode.json` for the rest. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Frame } from "../../envs/env.js";
import type { Transcript, TranscriptStep } from "./evaluate.js";
import { encodePng } from "./png.js";

export interface RecordedStep extends Omit<TranscriptStep, "frame"> {
  /** File name of the frame that was seen. */
  readonly frame: string;
}

/** What `episode.json` holds. */
export interface RecordedEpisode extends Omit<Transcript, "steps" | "finalFrame"> {
  readonly steps: readonly RecordedStep[];
  readonly finalFrame: string;
}

/** Writes each transcript to `folder/episode-000` and so on; what the folder held before is gone. */
export async function saveTranscripts(folder: string, transcripts: readonly Transcript[]): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  for (const transcript of transcripts) {
    const target = join(folder, `episode-${pad(transcript.episode, 3)}`);
    await mkdir(target, { recursive: true });
    const save = async (name: string, frame: Frame): Promise<string> => {
      await writeFile(join(target, name), encodePng(frame));
      return name;
    };
    const steps: RecordedStep[] = [];
    for (const [index, step] of transcript.steps.entries()) {
      steps.push({ ...step, frame: await save(`step-${pad(index, 2)}.png`, step.frame) });
    }
    const recorded: RecordedEpisode = {
      ...transcript,
      steps,
      finalFrame: await save("final.png", transcript.finalFrame),
    };
    await writeFile(join(target, "episode.json"), `${JSON.stringify(recorded, undefined, 2)}\n`);
  }
}

/** Reads what `saveTranscripts` wrote, each frame as a `data:` address; none if the folder is missing. */
export async function loadRecordedEpisodes(folder: string): Promise<RecordedEpisode[]> {
  if (!existsSync(folder)) return [];
  const names = (await readdir(folder)).sort();
  return Promise.all(names.map((name) => loadRecordedEpisode(join(folder, name))));
}

async function loadRecordedEpisode(folder: string): Promise<RecordedEpisode> {
  const recorded = JSON.parse(await readFile(join(folder, "episode.json"), "utf8")) as RecordedEpisode;
  const load = async (name: string): Promise<string> =>
    `data:image/png;base64,${(await readFile(join(folder, name))).toString("base64")}`;
  const steps: RecordedStep[] = [];
  for (const step of recorded.steps) steps.push({ ...step, frame: await load(step.frame) });
  return { ...recorded, steps, finalFrame: await load(recorded.finalFrame) };
}

function pad(number: number, digits: number): string {
  return String(number).padStart(digits, "0");
}
