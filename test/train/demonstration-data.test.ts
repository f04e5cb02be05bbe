import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { Frame } from "../../envs/env.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { demonstratedEpisodes } from "../../src/algorithms/demonstrations.js";
import { readImageFile } from "../../src/models/image-file.js";
import {
  DemonstrationData,
  DemonstrationDataError,
  readDemonstrations,
} from "../../src/train/demonstration-data.js";
import { encodePng } from "../../src/train/png.js";
import { findTask } from "../../src/train/tasks.js";
import { writeDemonstrations } from "../../src/train/write-demonstrations.js";
import { temporaryFolder } from "./temporary-folder.js";

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

const image: Frame = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 250, 251, 252) };

/** A record that is as it should be, but for `changes`. */
function record(changes: object = {}) {
  const conversations = [
    { from: "human", value: "<image>\nWhat now?" },
    { from: "gpt", value: '{"action": "+"}' },
  ];
  return { id: "0", image: "0.png", conversations, ...changes };
}

/** Writes a data set of these records, with the image that they name. */
function write(name: string, text: string): string {
  writeFileSync(join(folder, "0.png"), encodePng(image));
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

async function messageOf(path: string): Promise<string> {
  try {
    await readDemonstrations(path);
  } catch (error) {
    if (error instanceof DemonstrationDataError) return error.message;
    throw error;
  }
  throw new Error("expected a DemonstrationDataError");
}

describe("readDemonstrations", () => {
  const expected = {
    imagePath: expect.stringMatching(/0\.png$/),
    prompt: "What now?",
    response: '{"action": "+"}',
  };

  test("reads lines, and an array as the paper's authors publish theirs", async () => {
    const lines = write(
      "data.jsonl",
      `${JSON.stringify(record())}\n\n${JSON.stringify(record({ id: 7 }))}\n`,
    );
    expect(await readDemonstrations(lines)).toMatchObject([expected, expected]);
    const array = write("data.json", JSON.stringify([record(), record({ id: undefined })], undefined, 2));
    expect(await readDemonstrations(array)).toMatchObject([expected, expected]);
  });

  test("takes the image's place out of the prompt, at its start or its end, and nothing else", async () => {
    const prompts = ["<image>\nA \nB\n", "A \nB\n\n<image>", "A \n<image>B\n"].map((value) =>
      record({ conversations: [{ from: "human", value }, record().conversations[1]] }),
    );
    const read = await readDemonstrations(write("data.json", JSON.stringify(prompts)));
    expect(read.map(({ prompt }) => prompt)).toEqual(["A \nB\n", "A \nB\n", "A \nB\n"]);
  });

  const [human, gpt] = record().conversations;
  test.each([
    [
      record({ image: "1.png" }),
      'image: expected the path of a file, relative to the data\'s folder, found "1.png" (a string)',
    ],
    [
      record({ image: undefined }),
      "image: expected the path of a file, relative to the data's folder, found nothing",
    ],
    [
      record({ conversations: "hi" }),
      'conversations: expected two turns, of human and gpt, found "hi" (a string)',
    ],
    [
      record({ conversations: [human] }),
      'conversations: expected two turns, of human and gpt, found "1 turns" (a string)',
    ],
    [
      record({ conversations: [gpt, human] }),
      'conversations[0].from: expected "human", found "gpt" (a string)',
    ],
    [
      record({ conversations: [human, { from: "gpt", value: " " }] }),
      "conversations[1].value: expected a text that is not empty",
    ],
    [
      record({ conversations: [{ from: "human", value: "hi" }, gpt] }),
      'conversations[0].value: expected <image> once, found "hi" (a string)',
    ],
    [
      record({ conversations: [{ from: "human", value: "<image> <image>" }, gpt] }),
      "conversations[0].value: expected <image> once",
    ],
    [null, "image: expected the path of a file"],
  ])("names file, place and field of the bad record %j", async (bad, message) => {
    const lines = write("data.jsonl", `${JSON.stringify(record())}\n${JSON.stringify(bad)}\n`);
    expect(await messageOf(lines)).toContain(`${lines} line 2: ${message}`);
    const array = write("data.json", JSON.stringify([record(), bad]));
    expect(await messageOf(array)).toContain(`${array} record 1: ${message}`);
  });

  test("lists all bad records, the first ten in full", async () => {
    const bad = JSON.stringify(record({ image: "1.png" }));
    const message = await messageOf(write("data.jsonl", `{"image\n${`${bad}\n`.repeat(12)}`));
    const lines = message.split("\n");
    expect(lines).toHaveLength(11);
    expect(lines[0]).toContain("line 1: expected JSON, found");
    expect(lines[9]).toContain("line 10: image: expected");
    expect(lines[10]).toBe("and 3 more problems");
  });

  test("refuses files that are missing, empty or no JSON", async () => {
    expect(await messageOf(join(folder, "absent.jsonl"))).toMatch(
      /absent\.jsonl: cannot be read \(ENOENT.*sft\.data/,
    );
    expect(await messageOf(write("empty.jsonl", "\n"))).toContain("expected at least one record, found none");
    expect(await messageOf(write("half.json", "[{"))).toContain("half.json: expected a JSON array, found");
  });
});

describe("DemonstrationData", () => {
  /** N records whose responses are 0 to N - 1. */
  async function numbered(count: number, seed = 1): Promise<DemonstrationData> {
    const records = Array.from({ length: count }, (_, i) =>
      JSON.stringify(
        record({ conversations: [record().conversations[0], { from: "gpt", value: String(i) }] }),
      ),
    );
    return DemonstrationData.open(write("data.jsonl", records.join("\n")), seed);
  }
  const shown = async (
    data: DemonstrationData,
    steps: readonly number[],
    count: number,
  ): Promise<string[]> => {
    const batches = [];
    for (const step of steps) batches.push(await data.batch(step, count));
    return batches.flat().map(({ response }) => response);
  };

  test("shows every record once per epoch, in an order of the epoch and the seed", async () => {
    const all = Array.from({ length: 15 }, (_, i) => String(i));
    // Batches of 6 straddle the epochs.
    const responses = await shown(await numbered(15), [1, 2, 3, 4, 5], 6);
    const [first, second] = [responses.slice(0, 15), responses.slice(15)];
    expect([...first].sort()).toEqual([...all].sort());
    expect([...second].sort()).toEqual([...all].sort());
    expect(first).not.toEqual(all);
    expect(second).not.toEqual(first);
    expect(await shown(await numbered(15, 2), [1, 2, 3, 4, 5], 6)).not.toEqual(responses);
  });

  test("shows the same from any step on", async () => {
    const expected = await shown(await numbered(15), [1, 2, 3, 4, 5], 6);
    const resumed = await numbered(15);
    expect(await shown(resumed, [4, 5], 6)).toEqual(expected.slice(18));
    expect(await shown(resumed, [2], 6)).toEqual(expected.slice(6, 12));
  });

  test("decodes the image, and names the record where it cannot", async () => {
    const data = await numbered(1);
    expect((await data.batch(1, 1))[0]).toEqual({ frame: image, prompt: "What now?", response: "0" });
    writeFileSync(join(folder, "0.png"), "no image");
    await expect(data.batch(2, 1)).rejects.toMatchObject({
      code: "DATA_UNREADABLE",
      message: expect.stringMatching(/data\.jsonl line 1: image: expected a PNG file, found .*0\.png/),
    });
  });
});

describe("writeDemonstrations", () => {
  const options = { amount: { samples: 40 }, seed: 3, errorRate: 0.2, randomActionRate: 0.5, thoughts: true };
  const task = findTask("number-line");

  test("is read back as the demonstrations that were made", async () => {
    const counts = await writeDemonstrations({ ...options, task, folder: join(folder, "data") });
    const data = await readDemonstrations(join(folder, "data", "demonstrations.jsonl"));
    const made = demonstratedEpisodes(
      { environment: task.makeEnvironment(), expert: task.makeExpert!(), seed: 3 },
      options,
    );
    let last = 0;
    for (const { imagePath, prompt, response } of data) {
      const { value } = await made.next();
      expect({ prompt, response }).toEqual({ prompt: value.prompt, response: value.response });
      // Compared as bytes: deep equality takes its time with 270 000 of them.
      expect(Buffer.compare((await readImageFile(imagePath)).data, value.frame.data)).toBe(0);
      last = value.episode;
    }
    expect(data).toHaveLength(40);
    const images = readdirSync(join(folder, "data", "images"));
    expect(counts).toEqual({ records: 40, episodes: last + 1, images: images.length });
    expect(images).toHaveLength(new Set(data.map(({ imagePath }) => imagePath)).size);
    // 30 states, so that many of 40 decisions are of one that was shown before.
    expect(images.length).toBeLessThan(31);
  });

  test("writes the same bytes again", async () => {
    const bytesOf = async (name: string, changes: object = {}) => {
      const out = join(folder, name);
      await writeDemonstrations({ ...options, task, folder: out, ...changes });
      const files = readdirSync(out, { recursive: true, encoding: "utf8" }).filter((file) =>
        file.includes("."),
      );
      return files.sort().map((file) => [file, readFileSync(join(out, file)).toString("base64")]);
    };
    const first = await bytesOf("one");
    expect(first.map(([file]) => file)).toEqual(
      expect.arrayContaining(["README.md", "demonstrations.jsonl"]),
    );
    expect(await bytesOf("two")).toEqual(first);
    expect(await bytesOf("three", { seed: 4 })).not.toEqual(first);
  });

  test("writes whole episodes, of actions alone where asked, and says how the set was made", async () => {
    const out = join(folder, "data");
    const counts = await writeDemonstrations({
      ...options,
      task,
      folder: out,
      amount: { episodes: 7 },
      thoughts: false,
      errorRate: 0,
      randomActionRate: 0,
    });
    expect(counts.episodes).toBe(7);
    const environment = new NumberLine({ thoughts: false });
    const data = await readDemonstrations(join(out, "demonstrations.jsonl"));
    for (const { prompt, response } of data) {
      expect(prompt).toBe(environment.prompt({ current: 0, target: 1, steps: 0 }));
      expect(response).toMatch(/^\{\n "action": "[-+]" \n\}$/);
    }
    const card = readFileSync(join(out, "README.md"), "utf8");
    expect(card).toContain(`${data.length} decisions of 7 episodes`);
    expect(card).toContain(
      "`sightline demos number-line --episodes 7 --seed 3 --error-rate 0 --random-action-rate 0 --action-only`",
    );
  });

  test("refuses a folder that holds files, and a task without an expert", async () => {
    const out = join(folder, "data");
    mkdirSync(out);
    writeFileSync(join(out, "mine.txt"), "");
    const refused = writeDemonstrations({ ...options, task, folder: out });
    await expect(refused).rejects.toThrow(/data: expected a new or an empty folder/);
    const { makeExpert: _, ...silent } = { ...task };
    await expect(
      writeDemonstrations({ ...options, task: silent, folder: join(folder, "b") }),
    ).rejects.toThrow('task: expected a task with an expert, received "number-line", which has none');
  });
});
