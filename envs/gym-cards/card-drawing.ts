/** Copies playing cards from an atlas (scripts/make_card_atlas.mjs) onto frames. */
import type { Frame } from "../env.js";
import { readAssetImage } from "./assets.js";
import { cardIndex } from "./cards.js";

/** Width and height of a card in pixels; each is an atlas in assets/gym-cards. */
export type CardSize = "135x189" | "67x93" | "70x98";

/** What the atlas holds behind the 52 cards. */
const BACK = 52;

/** All cards at one size. */
export interface CardAtlas {
  readonly width: number;
  readonly height: number;
  /** RGB, one card after the other. */
  readonly pixels: Uint8Array;
}

const atlases = new Map<CardSize, CardAtlas>();

/** The cards, read from their atlas at the first call. */
export function loadCards(size: CardSize): CardAtlas {
  let atlas = atlases.get(size);
  if (atlas === undefined) {
    const [width, height] = size.split("x").map(Number) as [number, number];
    const { data } = readAssetImage(`cards-${size}.png`);
    const pixels = new Uint8Array((data.length / 4) * 3);
    for (let i = 0, j = 0; i < data.length; i += 4) {
      pixels[j++] = data[i]!;
      pixels[j++] = data[i + 1]!;
      pixels[j++] = data[i + 2]!;
    }
    atlas = { width, height, pixels };
    atlases.set(size, atlas);
  }
  return atlas;
}

/**
 * Puts a card onto the frame, its top left corner at (left, top); what lies outside is clipped. Corners are square: outside
 * the round ones of the art the card is black, as in the reference, which pastes cards without their mask.
 *
 * @param card a name as of `cards.ts`, or "back"
 */
export function drawCard(frame: Frame, atlas: CardAtlas, card: string, left: number, top: number): void {
  const index = card === "back" ? BACK : cardIndex(card);
  const columns = Math.min(atlas.width, frame.width - left);
  const rows = Math.min(atlas.height, frame.height - top);
  if (columns <= 0) return;
  for (let row = 0; row < rows; row++) {
    const from = 3 * (index * atlas.height + row) * atlas.width;
    frame.data.set(atlas.pixels.subarray(from, from + 3 * columns), 3 * ((top + row) * frame.width + left));
  }
}
