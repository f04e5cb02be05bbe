import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG } from "pngjs";
import { describe, expect, test } from "vitest";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { evaluate } from "../../src/train/evaluate.js";
import { randomPlayer } from "../../src/train/players.js";
import { encodePng } from "../../src/train/png.js";
import { loadRecordedEpisodes, saveTranscripts } from "../../src/train/recorded-episode.js";
import { temporaryFolder } from "./temporary-folder.js";

describe("encodePng", () => {
  test("writes an RGB image that decodes to the same pixels", () => {
    const data = Uint8Array.from({ length: 3 * 2 * 3 }, (_, index) => index * 13);
    const decoded = PNG.sync.read(encodePng({ width: 3, height: 2, data }));
    expect([decoded.width, decoded.height]).toEqual([3, 2]);
    const rgb = [...decoded.data].filter((_, index) => index % 4 !== 3);
    expect(rgb).toEqual([...data]);
  });
});

describe("recorded episodes", () => {
  test("hold every frame and all that was said and done, and read back as data addresses", async () => {
    const folder = join(temporaryFolder(), "before");
    const makeEnvironment = () => new NumberLine();
    const panel = { makeEnvironment, episodes: 2, seed: 1, player: randomPlayer(), transcripts: 2 };
    const { transcripts } = await evaluate(panel);
    await saveTranscripts(folder, transcripts);
    expect(readdirSync(folder)).toEqual(["episode-000", "episode-001"]);
    const files = readdirSync(join(folder, "episode-000"));
    expect(files.filter((name) => name.endsWith(".png"))).toHaveLength(transcripts[0]!.steps.length + 1);
    const frame = PNG.sync.read(readFileSync(join(folder, "episode-000", "step-00.png")));
    const { data } = transcripts[0]!.steps[0]!.frame;
    expect(Buffer.from(frame.data.filter((_, index) => index % 4 !== 3)).equals(data)).toBe(true);

    const recorded = await loadRecordedEpisodes(folder);
    expect(recorded.map(({ seed }) => seed)).toEqual(transcripts.map(({ seed }) => seed));
    for (const [index, episode] of recorded.entries()) {
      const played = transcripts[index]!;
      expect(episode.steps.map(({ frame, ...step }) => step)).toEqual(
        played.steps.map(({ frame, ...step }) => step),
      );
      const png = Buffer.from(episode.finalFrame.replace("data:image/png;base64,", ""), "base64");
      expect(png.equals(encodePng(played.finalFrame))).toBe(true);
    }
  });

  test("replace what an interrupted evaluation had left", async () => {
    const folder = join(temporaryFolder(), "after");
    const panel = { makeEnvironment: () => new NumberLine(), episodes: 3, seed: 1, player: randomPlayer() };
    await saveTranscripts(folder, (await evaluate({ ...panel, transcripts: 3 })).transcripts);
    await saveTranscripts(folder, (await evaluate({ ...panel, transcripts: 1 })).transcripts);
    expect(readdirSync(folder)).toEqual(["episode-000"]);
  });

  test("are none where nothing was recorded", async () => {
    expect(await loadRecordedEpisodes(join(tmpdir(), "sightline-absent"))).toEqual([]);
  });
});
