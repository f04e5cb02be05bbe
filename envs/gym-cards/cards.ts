/** Playing cards by name: suit (C, D, H, S) and rank (A, 2 to 9, T, J, Q, K), e.g. "HT" for the ten of hearts. */
import { OutOfRangeError } from "../errors.js";

export const suits = ["C", "D", "H", "S"] as const;
export const ranks = ["A", "2", "3", "4", "5", "6", "7", "8", "9", "T", "J", "Q", "K"] as const;
export type Suit = (typeof suits)[number];
export type Rank = (typeof ranks)[number];

/** Index of a card among all 52, by suit, then rank. @throws RangeError for what is no card */
export function cardIndex(name: string): number {
  const suit = suits.indexOf(name[0] as Suit);
  const rank = ranks.indexOf(name[1] as Rank);
  if (suit === -1 || rank === -1 || name.length !== 2) {
    throw new OutOfRangeError("card", 'suit (C, D, H, S) and rank (A, 2 to 9, T, J, Q, K), e.g. "HT"', name);
  }
  return suit * ranks.length + rank;
}

/** What a card counts, 1 to 10: an ace 1, a face card 10. @throws RangeError for what is no card */
export function cardValue(name: string): number {
  return Math.min((cardIndex(name) % ranks.length) + 1, 10);
}
