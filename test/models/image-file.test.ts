import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG, type PNGOptions } from "pngjs";
import { afterAll, expect, test } from "vitest";
import { ImageFileError, readImageFile } from "../../src/models/image-file.js";
import { imagePattern, sha256 } from "../golden/image-pattern.js";

const folder = mkdtempSync(join(tmpdir(), "sightline-images-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(contents: Uint8Array): string {
  const path = join(folder, "image.png");
  writeFileSync(path, contents);
  return path;
}

function png(width: number, height: number, data: Uint8Array, options: PNGOptions = {}): Buffer {
  const image = new PNG({ width, height });
  return PNG.sync.write({ ...image, data: Buffer.from(data) } as PNG, { width, height, ...options });
}

/** Every pair of sample and alpha. */
const rgba = Uint8Array.from({ length: 256 * 256 * 4 }, (_, i) => {
  const pixel = i >> 2;
  const value = pixel % 256;
  return [value, 255 - value, value >> 1, pixel >> 8][i % 4]!;
});
const shaded = png(256, 256, rgba, { colorType: 6, inputHasAlpha: true });

async function problem(contents: Uint8Array): Promise<ImageFileError> {
  return readImageFile(file(contents)).then(
    () => expect.unreachable(),
    (error) => error,
  );
}

test("reads an RGB file as it was written", async () => {
  const frame = imagePattern(37, 29);
  const path = file(png(37, 29, frame.data, { colorType: 2, inputColorType: 2, inputHasAlpha: false }));
  expect(await readImageFile(path)).toEqual(frame);
});

test("lays every alpha over white as Pillow does, bit for bit", async () => {
  const { data, ...size } = await readImageFile(file(shaded));
  expect(size).toEqual({ width: 256, height: 256 });
  // Of Image.alpha_composite over white, converted to RGB, by Pillow 13.0.0.
  expect(sha256(data)).toBe("1891e6c8d65b1115");
});

test("reads greys as RGB", async () => {
  const path = file(
    png(3, 1, Uint8Array.of(0, 7, 255), { colorType: 0, inputColorType: 0, inputHasAlpha: false }),
  );
  expect((await readImageFile(path)).data).toEqual(Uint8Array.of(0, 0, 0, 7, 7, 7, 255, 255, 255));
});

test("throws FILE_MISSING with the path", async () => {
  const path = join(folder, "none.png");
  await expect(readImageFile(path)).rejects.toMatchObject({
    code: "FILE_MISSING",
    path,
    name: "ImageFileError",
  });
});

test("throws FORMAT_UNSUPPORTED for another format", async () => {
  const jpeg = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 16, 74, 70, 73, 70);
  expect(await problem(jpeg)).toMatchObject({
    code: "FORMAT_UNSUPPORTED",
    message: expect.stringContaining("to PNG"),
  });
  expect(await problem(new Uint8Array())).toMatchObject({ code: "FORMAT_UNSUPPORTED" });
});

test.each([
  [16, 2 ** 31, `received ${2 ** 31} x 256`],
  [20, 16385, "received 256 x 16385"],
  [24, 16, "received 16"],
])(
  "throws FORMAT_UNSUPPORTED where the header's byte %i begins %i, before it unpacks",
  async (offset, value, message) => {
    const header = Buffer.from(shaded.subarray(0, 33));
    if (offset === 24) header[offset] = value;
    else header.writeUInt32BE(value, offset);
    expect(await problem(header)).toMatchObject({
      code: "FORMAT_UNSUPPORTED",
      message: expect.stringContaining(message),
    });
  },
);

test("throws FILE_INVALID for a file without a first header, or without width", async () => {
  for (const [offset, byte] of [
    [12, 0x4a],
    [18, 0],
  ] as const) {
    const changed = Buffer.from(shaded);
    changed[offset] = byte;
    expect(await problem(changed)).toMatchObject({
      code: "FILE_INVALID",
      message: expect.stringContaining("begins with its width and height"),
    });
  }
});

test("throws FILE_INVALID for files that end early or have flipped bits", async () => {
  for (const length of [8, 20, 33, 40, shaded.length >> 1, shaded.length - 13]) {
    expect(await problem(shaded.subarray(0, length))).toMatchObject({ code: "FILE_INVALID" });
  }
  for (let bit = 33 * 8; bit < shaded.length * 8; bit += 1009) {
    const flipped = Buffer.from(shaded);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    await readImageFile(file(flipped)).catch((error) => expect(error).toBeInstanceOf(ImageFileError));
  }
});
