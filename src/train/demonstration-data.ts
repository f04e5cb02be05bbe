/**
 * Data sets of demonstrations in the conversation format of LLaVA (Liu et al. 2023, arXiv 2304.08485), in which the paper's
 * authors publish theirs:
 *
 *   {"id": "...", "image": "images/0.png", "conversations": [{"from": "human", "value": "<image>\n<prompt>"},
 *                                                             {"from": "gpt", "value": "<response>"}]}
 *
 * either one record per line (.jsonl), or one array of them (.json). Image paths are relative to the file's folder.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Demonstration, DemonstrationSource } from "../algorithms/demonstrations.js";
import { ImageFileError, readImageFile } from "../models/image-file.js";
import { deriveKey, Random, stream } from "../random.js";
import { describeReceived } from "./config-error.js";

/**
 * `DATA_UNREADABLE`: a file that is missing or is no image. `DATA_INVALID`: records that do not follow the format.
 * `FOLDER_UNUSABLE`: no data set can be written there.
 */
export type DemonstrationDataErrorCode = "DATA_UNREADABLE" | "DATA_INVALID" | "FOLDER_UNUSABLE";

/** A data set that cannot be read or written; the message names the file and each bad record. */
export class DemonstrationDataError extends Error {
  constructor(
    readonly code: DemonstrationDataErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "DemonstrationDataError";
  }
}

/** One record, with the image still on disk. */
export interface DemonstrationRecord {
  /** Where the record stands, e.g. `data.jsonl line 3`, for messages. */
  readonly place: string;
  readonly imagePath: string;
  readonly prompt: string;
  readonly response: string;
}

const IMAGE_TAG = "<image>";
const SHOWN_PROBLEMS = 10;

/**
 * Reads a data set and holds every record against the format; image files must exist, and are decoded when they are used.
 *
 * @throws DemonstrationDataError that lists the bad records by line or index, with the field, what was expected and what was
 *   found
 */
export async function readDemonstrations(path: string): Promise<DemonstrationRecord[]> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    const reason = (error as Error).message;
    throw new DemonstrationDataError(
      "DATA_UNREADABLE",
      `${path}: cannot be read (${reason}); set sft.data to a file`,
      {
        cause: error,
      },
    );
  });
  const problems: string[] = [];
  const images = new ImageFolder(dirname(resolve(path)));
  const records = (text.trimStart().startsWith("[") ? arrayEntries : lineEntries)(
    path,
    text,
    problems,
  ).flatMap(({ place, value }) => {
    const issues: string[] = [];
    const record = toRecord(place, value, images, issues);
    problems.push(...issues.map((issue) => `${place}: ${issue}`));
    return record === undefined ? [] : [record];
  });
  if (problems.length > 0) {
    const shown = problems.slice(0, SHOWN_PROBLEMS);
    const rest = problems.length - shown.length;
    const more = rest > 0 ? [`and ${rest} more problems`] : [];
    throw new DemonstrationDataError("DATA_INVALID", [...shown, ...more].join("\n"));
  }
  if (records.length === 0) {
    throw new DemonstrationDataError("DATA_INVALID", `${path}: expected at least one record, found none`);
  }
  return records;
}

/**
 * A data set as the source of a run's demonstrations. Demonstration n of the run (all batches strung together) is record
 * n mod N of epoch n div N, and each epoch shows the N records in an order of its own, which follows from the seed.
 */
export class DemonstrationData implements DemonstrationSource {
  readonly #records: readonly DemonstrationRecord[];
  readonly #seed: number;
  /** The order of one epoch: the one used last. */
  #order: { readonly epoch: number; readonly records: readonly DemonstrationRecord[] } | undefined;

  /** @param seed unsigned 32-bit integer that fixes the orders */
  constructor(records: readonly DemonstrationRecord[], seed: number) {
    this.#records = records;
    this.#seed = seed;
  }

  /** @throws DemonstrationDataError as `readDemonstrations` */
  static async open(path: string, seed: number): Promise<DemonstrationData> {
    return new DemonstrationData(await readDemonstrations(path), seed);
  }

  /** @throws DemonstrationDataError `DATA_UNREADABLE` for an image that cannot be decoded */
  async batch(step: number, count: number): Promise<Demonstration[]> {
    const first = (step - 1) * count;
    return Promise.all(Array.from({ length: count }, (_, i) => load(this.#recordAt(first + i))));
  }

  #recordAt(index: number): DemonstrationRecord {
    const epoch = Math.floor(index / this.#records.length);
    if (this.#order?.epoch !== epoch) {
      const records = [...this.#records];
      new Random(deriveKey(this.#seed, stream.recordOrder, epoch)).shuffle(records);
      this.#order = { epoch, records };
    }
    return this.#order.records[index % this.#records.length]!;
  }
}

async function load({ place, imagePath, prompt, response }: DemonstrationRecord): Promise<Demonstration> {
  try {
    return { frame: await readImageFile(imagePath), prompt, response };
  } catch (error) {
    if (!(error instanceof ImageFileError)) throw error;
    throw new DemonstrationDataError(
      "DATA_UNREADABLE",
      `${place}: image: expected a PNG file, found ${imagePath} (${error.problem})`,
      { cause: error },
    );
  }
}

interface Entry {
  readonly place: string;
  readonly value: unknown;
}

function arrayEntries(path: string, text: string, problems: string[]): Entry[] {
  const parsed = parseJson(text);
  if (parsed.value === undefined) problems.push(`${path}: expected a JSON array, found ${parsed.reason}`);
  const values = Array.isArray(parsed.value) ? parsed.value : [];
  return values.map((value: unknown, index) => ({ place: `${path} record ${index}`, value }));
}

function lineEntries(path: string, text: string, problems: string[]): Entry[] {
  return text.split("\n").flatMap((line, index) => {
    if (line.trim() === "") return [];
    const place = `${path} line ${index + 1}`;
    const parsed = parseJson(line);
    if (parsed.value !== undefined) return [{ place, value: parsed.value }];
    problems.push(`${place}: expected JSON, found ${parsed.reason}`);
    return [];
  });
}

function parseJson(text: string): { value: unknown; reason?: string } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { value: undefined, reason: (error as Error).message };
  }
}

/** The image files of a data set; each name is looked for once. */
class ImageFolder {
  readonly #folder: string;
  readonly #exists = new Map<string, boolean>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Path of an image; undefined where there is no such file. */
  find(name: string): string | undefined {
    const path = resolve(this.#folder, name);
    const exists = this.#exists.get(path) ?? existsSync(path);
    this.#exists.set(path, exists);
    return exists ? path : undefined;
  }
}

/** A record as the format has it; what is wrong with it goes to `issues`. */
function toRecord(
  place: string,
  value: unknown,
  images: ImageFolder,
  issues: string[],
): DemonstrationRecord | undefined {
  const expect = (field: string, expected: string, received: unknown): void => {
    issues.push(`${field}: expected ${expected}, found ${describeReceived(received)}`);
  };
  const { image, conversations } = (value ?? {}) as Record<string, unknown>;
  const imagePath = typeof image === "string" ? images.find(image) : undefined;
  if (imagePath === undefined) expect("image", "the path of a file, relative to the data's folder", image);
  if (!Array.isArray(conversations) || conversations.length !== 2) {
    const found = Array.isArray(conversations) ? `${conversations.length} turns` : conversations;
    expect("conversations", "two turns, of human and gpt", found);
    return undefined;
  }
  const turn = (index: 0 | 1, role: string): string => {
    const { from, value: said } = (conversations[index] ?? {}) as Record<string, unknown>;
    if (from !== role) expect(`conversations[${index}].from`, `"${role}"`, from);
    if (typeof said === "string" && said.trim() !== "") return said;
    expect(`conversations[${index}].value`, "a text that is not empty", said);
    return "";
  };
  const [question, response] = [turn(0, "human"), turn(1, "gpt")];
  if (question !== "" && question.split(IMAGE_TAG).length !== 2) {
    expect("conversations[0].value", `${IMAGE_TAG} once`, question);
  }
  if (issues.length > 0 || imagePath === undefined) return undefined;
  // Wherever the text has its image, the chat template puts it first, with a line break after it.
  const prompt = question.replace(/^<image>\n|\n<image>$|<image>/, "");
  return { place, imagePath, prompt, response };
}
