import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { loadAddon } from "../../src/native/addon.js";
import { SightlineError } from "../../src/native/errors.js";
import { maxImageSide, resizeImage } from "../../src/native/images.js";
import type { ByteImage, CpuPath, ImageSize, ResampleFilter } from "../../src/native/types.js";
import { imagePattern, sha256 } from "../golden/image-pattern.js";
import { backends } from "../ops/native-ops.js";

interface GoldenCase {
  from: [width: number, height: number];
  to: [width: number, height: number];
  channels: 1 | 3;
  filter: ResampleFilter;
  sha256: string;
}
const goldenCases: GoldenCase[] = JSON.parse(
  readFileSync(new URL("../golden/image-resizes.json", import.meta.url), "utf8"),
);

const patterns = new Map<string, ByteImage>();

function patternImage([width, height]: [number, number], channels: 1 | 3): ByteImage {
  const key = `${width} ${height} ${channels}`;
  let image = patterns.get(key);
  if (image === undefined) {
    const { data } = imagePattern(width, height);
    const green = () => data.filter((_, i) => i % 3 === 1);
    image = { width, height, channels, data: channels === 3 ? data : green() };
    patterns.set(key, image);
  }
  return image;
}

const sizeOf = ([width, height]: [number, number]): ImageSize => ({ width, height });

describe("resizeImage", () => {
  test.each(backends.map(({ name }) => name as CpuPath))("equals Pillow to the bit on the path %s", (cpu) => {
    const { module } = loadAddon();
    const wrong = goldenCases.filter(({ from, to, channels, filter, sha256: expected }) => {
      return sha256(module.resizeImage(patternImage(from, channels), sizeOf(to), filter, cpu)) !== expected;
    });
    expect(wrong).toEqual([]);
    expect(goldenCases.length).toBeGreaterThan(100);
  });

  test("returns the size with the samples, in memory of their own", () => {
    const image = patternImage([8, 5], 3);
    const copy = resizeImage(image, { width: 8, height: 5 }, "bicubic");
    expect(copy).toEqual(image);
    expect(copy.data.buffer).not.toBe(image.data.buffer);
    expect(resizeImage(image, { width: 3, height: 9 }, "box")).toMatchObject({
      width: 3,
      height: 9,
      channels: 3,
    });
  });

  test("leaves the image as it is", () => {
    const image = patternImage([37, 29], 3);
    const before = image.data.slice();
    resizeImage(image, { width: 11, height: 60 }, "lanczos");
    expect(image.data).toEqual(before);
  });

  test("takes a part of a larger array", () => {
    const image = patternImage([6, 4], 3);
    const framed = new Uint8Array(image.data.length + 10).fill(255);
    framed.set(image.data, 5);
    const part = { ...image, data: framed.subarray(5, -5) };
    const size = { width: 9, height: 9 };
    expect(resizeImage(part, size, "bicubic")).toEqual(resizeImage(image, size, "bicubic"));
  });

  test("resizes from and to the longest side", () => {
    const line: ByteImage = {
      width: maxImageSide,
      height: 1,
      channels: 1,
      data: new Uint8Array(maxImageSide).fill(7),
    };
    expect(resizeImage(line, { width: 1, height: 1 }, "lanczos").data).toEqual(Uint8Array.of(7));
    const dot: ByteImage = { width: 1, height: 1, channels: 1, data: Uint8Array.of(9) };
    const tall = resizeImage(dot, { width: 1, height: maxImageSide }, "bicubic");
    expect(tall.data.every((sample) => sample === 9)).toBe(true);
  });

  const image = patternImage([4, 3], 3);
  const size = { width: 2, height: 2 };
  const range = `expected an integer in [1, ${maxImageSide}], received`;
  test.each<[string, unknown, unknown, unknown]>([
    [`image.width: ${range} 0`, { ...image, width: 0 }, size, "box"],
    [`image.height: ${range} 2147483648`, { ...image, height: 2 ** 31 }, size, "box"],
    [`image.width: ${range} 1.5`, { ...image, width: 1.5 }, size, "box"],
    [`image.height: ${range} nothing`, { ...image, height: undefined }, size, "box"],
    [`size.width: ${range} ${2 ** 53}`, image, { width: 2 ** 53, height: 2 }, "box"],
    [`size.height: ${range} NaN`, image, { width: 2, height: Number.NaN }, "box"],
    [`size.height: ${range} -1`, image, { width: 2, height: -1 }, "box"],
    ["size: expected an object, received nothing", image, undefined, "box"],
    ["image.channels: expected 1 or 3, received 2", { ...image, channels: 2 }, size, "box"],
    ["image.channels: expected an integer in [1, 3], received 4", { ...image, channels: 4 }, size, "box"],
    [
      "image.data: expected width * height * channels = 36 bytes, received 35",
      { ...image, data: image.data.slice(1) },
      size,
      "box",
    ],
    [
      "image.data: expected a Uint8Array, received an object of class Float32Array",
      { ...image, data: new Float32Array(36) },
      size,
      "box",
    ],
    [
      'filter: expected one of "box", "bilinear", "bicubic", "lanczos", received "nearest"',
      image,
      size,
      "nearest",
    ],
  ])("throws INVALID_ARGUMENT: %s", (message, wrongImage, wrongSize, filter) => {
    const call = () => resizeImage(wrongImage as ByteImage, wrongSize as ImageSize, filter as ResampleFilter);
    expect(call).toThrow(SightlineError);
    expect(call).toThrow(message);
  });

  test("throws INVALID_ARGUMENT for an image whose data another thread was given", () => {
    const sent = { ...image, data: image.data.slice() };
    structuredClone(sent.data, { transfer: [sent.data.buffer as ArrayBuffer] });
    expect(() => resizeImage(sent, size, "box")).toThrow("= 36 bytes, received 0");
  });
});
