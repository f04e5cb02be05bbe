/**
 * Draws frames as Pillow does, to the last bit, from glyph atlases (scripts/make_glyph_atlas.py), so that
 * the environments need no font engine and look alike on every machine.
 */
import type { Frame } from "../env.js";
import { OutOfRangeError } from "../errors.js";
import { readAssetImage, readAssetText } from "./assets.js";

/** Red, green and blue, each 0 to 255. */
export type Color = readonly [number, number, number];

export const black: Color = [0, 0, 0];
export const white: Color = [255, 255, 255];
/** The table of the card games. */
export const felt: Color = [53, 101, 77];

/** Font and size in pixels per em; each is a pair of files in assets/gym-cards. */
export type FontName = "dejavu-sans-16" | "dejavu-sans-20" | "dejavu-sans-bold-16" | "dejavu-sans-bold-36";

/** Where a character stands in the atlas and where its ink goes, in pixels; `advance` in 1/64 pixel. */
interface Glyph {
  /** Left edge in the atlas; all glyphs start in its first row. */
  readonly x: number;
  readonly width: number;
  readonly height: number;
  /** Offset of the ink from the pen and from the ascender line. */
  readonly left: number;
  readonly top: number;
  /** How far the pen moves on. */
  readonly advance: number;
}

/** Printable ASCII characters of one font at one size. */
export interface Font {
  readonly glyphs: Readonly<Record<string, Glyph>>;
  /** Change of the advance between two characters, in 1/64 pixel; absent pairs: 0. */
  readonly kerning: Readonly<Record<string, number>>;
  /** Ink coverage of the atlas, 0 to 255, row by row. */
  readonly coverage: Uint8Array;
  readonly stride: number;
}

const fonts = new Map<FontName, Font>();

/** The font, read from its atlas at the first call. */
export function loadFont(name: FontName): Font {
  let font = fonts.get(name);
  if (font === undefined) {
    const image = readAssetImage(`${name}.png`);
    // Grey is read as RGBA; the first channel is the coverage.
    const coverage = Uint8Array.from({ length: image.width * image.height }, (_, i) => image.data[4 * i]!);
    const { glyphs, kerning } = JSON.parse(readAssetText(`${name}.json`)) as Font;
    font = { glyphs, kerning, coverage, stride: image.width };
    fonts.set(name, font);
  }
  return font;
}

/** A frame of one colour. */
export function createFrame(width: number, height: number, color: Color): Frame {
  const data = new Uint8Array(3 * width * height);
  data.set(color);
  // Doubles the coloured part until it fills the frame.
  for (let filled = 3; filled < data.length; filled *= 2) data.copyWithin(filled, 0, filled);
  return { width, height, data };
}

/**
 * Puts a strip as wide as the frame onto it, its first row at `top`: rows lie one after the other, so this is one copy.
 *
 * @throws RangeError where the strip does not fit
 */
export function drawStrip(frame: Frame, strip: Frame, top: number): void {
  frame.data.set(strip.data, 3 * frame.width * top);
}

/**
 * A result with its frame, which is drawn when it is first read: a caller that only follows the state never pays for pixels.
 *
 * @param draw called at most once; depends on nothing that changes
 */
export function withFrame<Result extends object>(
  result: Result,
  draw: () => Frame,
): Result & { readonly frame: Frame } {
  let frame: Frame | undefined;
  return {
    ...result,
    get frame() {
      frame ??= draw();
      return frame;
    },
  };
}

/**
 * Draws one line of text onto the frame; what lies outside is clipped. Kerning is applied, ligatures are
 * not. Equal to Pillow's `ImageDraw.text` with Raqm layout: the pen moves in 1/64 pixel, each glyph is put
 * at the nearest whole pixel, and a channel becomes round((1 - a) old + a color) with coverage a.
 *
 * @param x left end of the line, in whole pixels
 * @param y the font's ascender line, in whole pixels; ink of a capital starts a little lower
 * @throws RangeError for a character that the font lacks
 */
export function drawText(frame: Frame, font: Font, text: string, x: number, y: number, color: Color): void {
  let pen = 0;
  let previous = "";
  for (const character of text) {
    const glyph = font.glyphs[character];
    if (glyph === undefined) {
      throw new OutOfRangeError("text", "printable ASCII characters", JSON.stringify(character));
    }
    pen += font.kerning[previous + character] ?? 0;
    blendGlyph(frame, font, glyph, x + Math.floor((pen + 32) / 64) + glyph.left, y + glyph.top, color);
    pen += glyph.advance;
    previous = character;
  }
}

/** Blends a glyph's ink onto the frame, its top left corner at (left, top). */
function blendGlyph(frame: Frame, font: Font, glyph: Glyph, left: number, top: number, color: Color): void {
  const { data, width } = frame;
  const { coverage, stride } = font;
  const [red, green, blue] = color;
  const firstRow = Math.max(0, -top);
  const endRow = Math.min(glyph.height, frame.height - top);
  const firstColumn = Math.max(0, -left);
  const endColumn = Math.min(glyph.width, width - left);
  for (let row = firstRow; row < endRow; row++) {
    const ink = row * stride + glyph.x;
    const pixels = 3 * ((top + row) * width + left);
    for (let column = firstColumn; column < endColumn; column++) {
      const alpha = coverage[ink + column]!;
      if (alpha === 0) continue;
      const pixel = pixels + 3 * column;
      data[pixel] = blend(data[pixel]!, red, alpha);
      data[pixel + 1] = blend(data[pixel + 1]!, green, alpha);
      data[pixel + 2] = blend(data[pixel + 2]!, blue, alpha);
    }
  }
}

/** round((old (255 - alpha) + ink alpha) / 255) in integers, exact for bytes. */
function blend(old: number, ink: number, alpha: number): number {
  const scaled = old * (255 - alpha) + ink * alpha + 128;
  return (scaled + (scaled >> 8)) >> 8;
}
