import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PNG } from "pngjs";
import { describe, expect, test } from "vitest";
import type { Frame } from "../../envs/env.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { createFrame, drawText, loadFont, white } from "../../envs/gym-cards/rendering.js";
import { sharedData } from "./shared-data.js";

const GOLDEN = fileURLToPath(new URL("../golden/gym-cards/", import.meta.url));

/** Largest difference of any channel between a frame and a PNG file of the same size. */
function largestDifference(frame: Frame, file: string): number {
  const { width, height, data } = PNG.sync.read(readFileSync(file));
  expect([frame.width, frame.height]).toEqual([width, height]);
  let largest = 0;
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      const difference = Math.abs(frame.data[3 * pixel + channel]! - data[4 * pixel + channel]!);
      largest = Math.max(largest, difference);
    }
  }
  return largest;
}

function numberLineFrame(current: number, target: number): Frame {
  // An episode cannot start at its target, so such a frame is reached by a step.
  const environment = new NumberLine();
  if (current !== target) return environment.resetTo({ current, target }).frame;
  const [start, action] = current === 0 ? [1, 0] : [current - 1, 1];
  environment.resetTo({ current: start!, target });
  return environment.step(action!).frame;
}

describe("NumberLine frames", () => {
  test.each([
    [0, 1],
    [2, 4],
    [5, 0],
  ])("equal Pillow's at %d towards %d", (current, target) => {
    const file = join(GOLDEN, `number-line-current${current}-target${target}.png`);
    expect(largestDifference(numberLineFrame(current, target), file)).toBe(0);
  });

  const index = sharedData("gym-cards/frames/index.json");

  test.skipIf(index === undefined)("equal the reference's, all 36 of ../shared/data/gym-cards", () => {
    const entries = JSON.parse(readFileSync(index!, "utf8")) as {
      file: string;
      task: string;
      current: number;
      target: number;
    }[];
    const frames = entries.filter(({ task }) => task === "number_line");
    expect(frames).toHaveLength(36);
    for (const { file, current, target } of frames) {
      const path = join(dirname(index!), "..", file);
      expect(largestDifference(numberLineFrame(current, target), path)).toBe(0);
    }
  });
});

describe("drawText", () => {
  test("equals Pillow in every printable character, kerning, overlap and clipping", () => {
    const frame = createFrame(760, 290, [0x35, 0x65, 0x4d]);
    const font = loadFont("dejavu-sans-bold-36");
    const lines = [
      "!\"#$%&'()*+,-./0123456789:;<=>?",
      "@ABCDEFGHIJKLMNOPQRSTUVWX",
      "YZ[\\]^_`abcdefghijklmnopqrstuvwxyz",
      "{|}~ AVAToLT'Ty.W,P.j_jWAVE 11-7",
    ];
    for (const [row, line] of lines.entries()) drawText(frame, font, line, 4, 60 * row, white);
    drawText(frame, font, "clipped", -20, 260, white);
    drawText(frame, font, "WWW", 690, -12, white);
    expect(largestDifference(frame, join(GOLDEN, "text-dejavu-sans-bold-36.png"))).toBe(0);
  });

  test("refuses characters that the font lacks", () => {
    const frame = createFrame(10, 10, white);
    expect(() => drawText(frame, loadFont("dejavu-sans-bold-36"), "\u00e9", 0, 0, white)).toThrow(
      'text: expected printable ASCII characters, received "\u00e9"',
    );
  });
});
