import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Frame } from "../../envs/env.js";
import { FrameError, ImageProcessor, imageProcessorConfig } from "../../src/models/image-processor.js";

interface GoldenCase {
  width: number;
  height: number;
  size: number;
  channels: 1 | 3;
  samples: string;
}
const goldenCases: GoldenCase[] = JSON.parse(
  readFileSync(new URL("../golden/image-processor.json", import.meta.url), "utf8"),
);

/** The frame that the golden script resizes. */
function pattern(width: number, height: number): Frame {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) {
    const c = i % 3;
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    const edges = (Math.floor(x / 17) + Math.floor(y / 23)) % 2;
    data[i] = (7 * y + 13 * x + 29 * c + 5 * ((x * y) % 11) + 90 * edges) % 256;
  }
  return { width, height, data };
}

const uniform = (value: number): Frame => ({ width: 5, height: 4, data: new Uint8Array(60).fill(value) });

const fileContents = JSON.parse(
  readFileSync(new URL("../../assets/tiny-vlm/preprocessor_config.json", import.meta.url), "utf8"),
);

describe("process", () => {
  test.each(goldenCases)(
    "resizes $width x $height to $size with $channels channel(s) as Pillow does, bit for bit",
    ({ width, height, size, channels, samples }) => {
      const identity = { mean: Array(channels).fill(0), std: Array(channels).fill(1) };
      const processor = new ImageProcessor({ size, channels, rescale: 1, ...identity });
      const pixels = processor.process(pattern(width, height));
      expect(Buffer.from(Uint8Array.from(pixels)).toString("base64")).toBe(samples);
    },
  );

  test("computes (sample * rescale - mean) / std in single precision, per channel", () => {
    const mean = [0.48145466, 0.4578275, 0.40821073];
    const std = [0.26862954, 0.26130258, 0.27577711];
    const processor = new ImageProcessor({ size: 1, channels: 3, rescale: 1 / 255, mean, std });
    const { fround } = Math;
    const expected = mean.map((m, c) => fround(fround(fround(200 / 255) - fround(m)) / fround(std[c]!)));
    expect([...processor.process(uniform(200))]).toEqual(expected);
  });

  test("shows the tiny model a white frame as 0 and black as 1", () => {
    const processor = new ImageProcessor(imageProcessorConfig.parse(fileContents));
    const white = processor.process(uniform(255));
    expect(white.length).toBe(96 * 96);
    expect(white.every((pixel) => Object.is(pixel, 0))).toBe(true);
    expect(processor.process(uniform(0)).every((pixel) => pixel === 1)).toBe(true);
  });

  test("returns values of its own for each frame", () => {
    const processor = new ImageProcessor(imageProcessorConfig.parse(fileContents));
    const black = processor.process(uniform(0));
    processor.process(uniform(255));
    expect(black[0]).toBe(1);
  });

  test.each([
    ["too few bytes", { width: 5, height: 4, data: new Uint8Array(59) }],
    ["no area", { width: 0, height: 4, data: new Uint8Array(0) }],
  ])("throws INVALID_FRAME for a frame with %s", (_, frame) => {
    const processor = new ImageProcessor(imageProcessorConfig.parse(fileContents));
    expect(() => processor.process(frame)).toThrow(FrameError);
    expect(() => processor.process(frame)).toThrow(/received \d+ bytes for \d x 4/);
  });
});

describe("imageProcessorConfig", () => {
  test.each([
    ["size", { size: { height: 96, width: 48 } }, "expected a square, received 96 x 48"],
    ["image_mean", { image_mean: [0, 0] }, "expected 1 number(s), one per channel, received 2"],
    ["image_std", { do_grayscale: false, image_mean: [0, 0, 0] }, "expected 3 number(s)"],
    ["image_std", { image_std: [0] }, "expected no deviation to be 0"],
    ["resample", { resample: 3 }, "expected 4"],
    ["", { do_pad: true }, "do_pad"],
  ])("names %s where it is wrong", (path, change, message) => {
    const issues = imageProcessorConfig.safeParse({ ...fileContents, ...change }).error!.issues;
    expect(issues.map((issue) => issue.path.join("."))).toContain(path);
    expect(issues.map((issue) => issue.message).join("\n")).toContain(message);
  });
});
