import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Frame } from "../../envs/env.js";
import { ImageProcessor, type ProcessedImage } from "../../src/models/image-processor.js";
import { imageProcessorConfig } from "../../src/models/image-processor-config.js";
import { type ImageProcessorSpec, singleCrop } from "../../src/models/image-processor-spec.js";
import { anyResolutionRows, imageTokenCount } from "../../src/models/image-tokens.js";
import { FrameError } from "../../src/models/image-views.js";
import { maxImageSide } from "../../src/native/images.js";
import { NEWLINE_TOKEN } from "../../src/native/types.js";
import { imagePattern, sha256 } from "../golden/image-pattern.js";

interface GoldenCase {
  frame: [width: number, height: number];
  shape: number[];
  sha256: string;
  samples: number[];
  /** Of split images. */
  rows?: number;
  columns?: number;
  /** `image_grid_thw` of images as patches. */
  grid?: [number, number, number];
  /** Of any-resolution images: the rows that the model takes of its features. */
  patchSize?: number;
  tokens?: number;
  rowsSha256?: string;
}
interface GoldenFamily {
  name: string;
  config: Record<string, unknown>;
  cases: GoldenCase[];
}
const families: GoldenFamily[] = JSON.parse(
  readFileSync(new URL("../golden/image-processors.json", import.meta.url), "utf8"),
);
const golden = (name: string) => families.find((family) => family.name === name)!;

const processorOf = (config: unknown) => new ImageProcessor(imageProcessorConfig.parse(config));
const uniform = (value: number, width = 5, height = 4): Frame => ({
  width,
  height,
  data: new Uint8Array(width * height * 3).fill(value),
});
const tinyFile = JSON.parse(
  readFileSync(new URL("../../assets/tiny-vlm/preprocessor_config.json", import.meta.url), "utf8"),
);

describe("process equals the processor of Transformers, bit for bit", () => {
  const cases = families.flatMap(({ name, config, cases }) =>
    cases.map((golden) => ({ ...golden, name, config, size: golden.frame.join(" x ") })),
  );
  test.each(cases)("$name: $size", ({ config, frame, shape, samples, sha256: hash, rows, columns, grid }) => {
    const processed = processorOf(config).process(imagePattern(...frame));
    const { pixels, arrangement } = processed;
    expect(processed.shape).toEqual(shape);
    expect(samples.map((_, i) => pixels[Math.floor((i * (pixels.length - 1)) / 4)])).toEqual(samples);
    expect(sha256(pixels)).toBe(hash);
    expect(processed.originalSize).toEqual({ width: frame[0], height: frame[1] });
    if (grid) expect(arrangement).toEqual({ kind: "patches", rows: grid[1], columns: grid[2] });
    if (rows !== undefined) expect(arrangement).toEqual({ kind: "split", rows, columns });
  });
});

describe("image tokens", () => {
  test.each(["llava-next", "llava-next, small"])("%s: packs features as the model does", (name) => {
    const { config, cases } = golden(name);
    for (const { frame, patchSize, tokens, rowsSha256 } of cases) {
      const processed = processorOf(config).process(imagePattern(...frame));
      expect(imageTokenCount(processed, patchSize!)).toBe(tokens);
      expect(sha256(anyResolutionRows(processed, patchSize!))).toBe(rowsSha256);
    }
  });

  test("counts what the families' own processors count", () => {
    const count = (name: string, tokenSize: number, width: number, height: number) =>
      imageTokenCount(processorOf(golden(name).config).process(uniform(0, width, height)), tokenSize);
    expect(count("llava-next", 14, 300, 300)).toBe(1176);
    expect(count("llava-next", 14, 160, 210)).toBe(1032);
    expect(count("llava-next", 14, 210, 160)).toBe(1368);
    expect(count("llava-next", 14, 640, 480)).toBe(2340);
    expect(count("clip", 14, 210, 160)).toBe(576);
    expect(count("qwen2-vl", 28, 300, 300)).toBe(121);
    expect(count("qwen2-vl", 28, 640, 480)).toBe(391);
    expect(count("qwen3-vl", 32, 160, 210)).toBe(70);
    expect(count("smolvlm", 64, 300, 300)).toBe(64);
    expect(count("smolvlm, split", 8, 300, 300)).toBe(17 * 16);
  });

  test("drops a column of padding where the doubles fall short of a whole number", () => {
    const image: ProcessedImage = {
      pixels: new Float32Array(),
      shape: [],
      viewSize: { width: 378, height: 378 },
      originalSize: { width: 49, height: 49 },
      arrangement: { kind: "any_resolution", rows: 1, columns: 2 },
    };
    // 49 * (27 / 49) is 26.999999999999996: the frame covers 27 of 54 columns, of the other 27 each side loses 13.
    expect(imageTokenCount(image, 14)).toBe(27 * 27 + 27 * (28 + 1));
    const rows = [...anyResolutionRows(image, 14)].slice(27 * 27, 27 * 27 + 29);
    const tile = (i: number, firstColumn: number) =>
      Array.from({ length: 14 }, (_, x) => (1 + i) * 27 * 27 + firstColumn + x);
    expect(rows).toEqual([...tile(0, 13), ...tile(1, 0), NEWLINE_TOKEN]);
  });

  test("refuses to order the features of another arrangement", () => {
    const processed = processorOf(golden("clip").config).process(uniform(0));
    expect(() => anyResolutionRows(processed, 14)).toThrow(RangeError);
    expect(() => anyResolutionRows(processed, 14)).toThrow('expected "any_resolution", received "single"');
  });
});

describe("singleCrop", () => {
  test.each(["clip", "llava, padded", "llava-next"])("makes one view of 336 x 336 of %s's frames", (name) => {
    const frame = imagePattern(160, 210);
    const spec = singleCrop(imageProcessorConfig.parse(golden(name).config));
    const processed = new ImageProcessor(spec).process(frame);
    expect(processed.shape).toEqual([1, 3, 336, 336]);
    expect(processed.arrangement).toEqual({ kind: "single" });
    expect(sha256(processed.pixels)).toBe(golden("clip").cases.find(({ frame }) => frame[0] === 160)!.sha256);
  });

  test("throws a RangeError for other families", () => {
    const spec = imageProcessorConfig.parse(golden("qwen2-vl").config);
    expect(() => singleCrop(spec)).toThrow(RangeError);
    expect(() => singleCrop(spec)).toThrow('received "smart_resize"');
  });
});

describe("process", () => {
  test("computes (sample * rescale - mean) / std in single precision, per channel", () => {
    const mean = [0.48145466, 0.4578275, 0.40821073];
    const std = [0.26862954, 0.26130258, 0.27577711];
    const views = { kind: "stretch", size: { width: 1, height: 1 } } as const;
    const spec: ImageProcessorSpec = { channels: 3, filter: "box", rescale: 1 / 255, mean, std, views };
    const { fround } = Math;
    const expected = mean.map((m, c) => fround(fround(fround(200 / 255) - fround(m)) / fround(std[c]!)));
    expect([...new ImageProcessor(spec).process(uniform(200)).pixels]).toEqual(expected);
  });

  test("shows the tiny model a white frame as 0 and black as 1", () => {
    const processor = processorOf(tinyFile);
    const white = processor.process(uniform(255)).pixels;
    expect(white.length).toBe(96 * 96);
    expect(white.every((pixel) => Object.is(pixel, 0))).toBe(true);
    expect(processor.process(uniform(0)).pixels.every((pixel) => pixel === 1)).toBe(true);
  });

  test("returns values of its own for each frame", () => {
    const processor = processorOf(tinyFile);
    const black = processor.process(uniform(0)).pixels;
    processor.process(uniform(255));
    expect(black[0]).toBe(1);
  });

  test.each<[string, Frame]>([
    ["too few bytes", { width: 5, height: 4, data: new Uint8Array(59) }],
    ["no width", { width: 0, height: 4, data: new Uint8Array(0) }],
    ["no height", { width: 4, height: 0, data: new Uint8Array(0) }],
    ["half a pixel", { width: 1.5, height: 2, data: new Uint8Array(9) }],
    ["a side of 2^31", { width: 2 ** 31, height: 1, data: new Uint8Array(3) }],
    ["a side too long", { width: maxImageSide + 1, height: 1, data: new Uint8Array(3 * (maxImageSide + 1)) }],
    ["a side that is no number", { width: Number.NaN, height: 1, data: new Uint8Array(3) }],
  ])("throws INVALID_FRAME for a frame with %s", (_, frame) => {
    const processor = processorOf(tinyFile);
    expect(() => processor.process(frame)).toThrow(FrameError);
    expect(() => processor.process(frame)).toThrow(/frame: expected .*received \d+ bytes for \S+ x \d/);
  });

  test("throws INVALID_FRAME for a frame so long that its resized self cannot be", () => {
    const process = () => processorOf(golden("clip").config).process(uniform(0, 1, 1000));
    expect(process).toThrow(FrameError);
    expect(process).toThrow("received 1 x 1000, which becomes 336 x 336000");
  });

  test("throws INVALID_FRAME for a frame longer than Qwen2-VL's processor takes", () => {
    const processor = processorOf(golden("qwen2-vl, few pixels").config);
    expect(processor.process(uniform(0, 1, 200)).arrangement.kind).toBe("patches");
    expect(() => processor.process(uniform(0, 1, 201))).toThrow("at most 200, received 1 x 201");
  });
});
