/** Frames of the card games beside Pillow's (test/golden/gym-cards/make_card_frames.py) and the original's. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PNG } from "pngjs";
import { describe, expect, test } from "vitest";
import type { Frame } from "../../envs/env.js";
import { Blackjack, type BlackjackOptions } from "../../envs/gym-cards/blackjack.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import { Points24 } from "../../envs/gym-cards/points24.js";
import { sharedData } from "./shared-data.js";

type Box = readonly [left: number, top: number, width: number, height: number];

/** Largest difference of any channel between a frame and a PNG file of the same size, outside the boxes. */
function largestDifference(frame: Frame, file: string, boxes: readonly Box[] = []): number {
  const { width, height, data } = PNG.sync.read(readFileSync(file));
  expect([frame.width, frame.height]).toEqual([width, height]);
  let largest = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (boxes.some(([left, top, w, h]) => x >= left && x < left + w && y >= top && y < top + h)) continue;
      const pixel = y * width + x;
      for (let channel = 0; channel < 3; channel++) {
        const difference = Math.abs(frame.data[3 * pixel + channel]! - data[4 * pixel + channel]!);
        largest = Math.max(largest, difference);
      }
    }
  }
  return largest;
}

/** `toEqual` would take seconds for as many bytes. */
function isSame(one: Frame, other: Frame): boolean {
  return Buffer.compare(one.data, other.data) === 0;
}

function golden(name: string): string {
  return fileURLToPath(new URL(`../golden/gym-cards/${name}.png`, import.meta.url));
}

/** The frame of a hand after the tokens; " " is played as a number that the hand does not hold. */
function formulaFrame(
  game: EZPoints | Points24,
  cards: readonly string[],
  formula: readonly string[],
): Frame {
  const { labels } = game.actionSpace;
  let { frame, info } = game.resetTo(cards);
  for (const token of formula) {
    const missing = info.numbers.includes(9) ? "8" : "9";
    ({ frame, info } = game.step(labels.indexOf(token === " " ? missing : token)));
  }
  expect(info.formula).toEqual(formula);
  return frame;
}

function blackjackFrame(deck: readonly string[], options?: BlackjackOptions): Frame {
  const game = new Blackjack(options);
  let { frame } = game.resetTo(deck);
  for (let drawn = 4; drawn < deck.length; drawn++) ({ frame } = game.step(1));
  return frame;
}

describe("frames equal Pillow's", () => {
  const long = ["(", "7", "-", "1", ")", "*", "(", "10", "/", "10", ")", ..."+++---***("];
  const many = ["D8", "SK", "C2", "D2", "H2", "S2", "CA", "DA"];

  test.each([
    ["ez-points", () => formulaFrame(new EZPoints(), ["HQ", "S2"], ["10", " ", "+", "2"])],
    ["points24", () => formulaFrame(new Points24(), ["CT", "D7", "HA", "SK"], long)],
    ["blackjack", () => blackjackFrame(["HA", "SK", "C9", "SJ"])],
    ["blackjack-hidden-fifth", () => blackjackFrame(many, { hiddenFifthCard: true })],
    ["blackjack-six-cards", () => blackjackFrame(many)],
  ] as const)("%s", (name, draw) => {
    expect(largestDifference(draw(), golden(name))).toBe(0);
  });
});

describe("Blackjack shows what its player may see", () => {
  test("and not what lies face down, nor what the dealer draws", () => {
    const deck = ["H8", "C2", "C9", "SJ", "H5", "H6"];
    const other = ["H8", "D7", "C9", "SJ", "DQ"];
    expect(isSame(blackjackFrame(other.slice(0, 4)), blackjackFrame(deck.slice(0, 4)))).toBe(true);
    const game = new Blackjack();
    const { frame } = game.resetTo(deck);
    const end = game.step(0);
    expect(end.info.dealer.length).toBeGreaterThan(2);
    expect(isSame(end.frame, frame)).toBe(true);
  });

  test("the fifth card too, unless it is hidden as in the reference", () => {
    const four = ["H8", "C2", "C2", "D2", "H2", "S2"];
    const five = [...four, "CA"];
    expect(isSame(blackjackFrame(five, { hiddenFifthCard: true }), blackjackFrame(four))).toBe(true);
    expect(isSame(blackjackFrame(five), blackjackFrame([...four, "C3"]))).toBe(false);
  });
});

const index = sharedData("gym-cards/frames/index.json");

describe.skipIf(index === undefined)("frames equal the original's, ../shared/data/gym-cards", () => {
  interface Entry {
    readonly file: string;
    readonly task: string;
    readonly formula: readonly (number | string)[];
    readonly blanked: readonly Box[];
  }
  test.each([
    ["ez_points", 5, () => new EZPoints(), 2],
    ["points24", 4, () => new Points24(), 4],
  ] as const)("%s, outside the cards", (task, count, makeGame, handSize) => {
    const entries = (JSON.parse(readFileSync(index!, "utf8")) as Entry[]).filter(
      (entry) => entry.task === task,
    );
    expect(entries).toHaveLength(count);
    for (const { file, formula, blanked } of entries) {
      const numbers = formula.filter((token) => typeof token === "number");
      // One formula has more numbers than a hand, which no game shows.
      if (numbers.length > handSize) continue;
      const values = [...numbers, ...Array.from({ length: handSize - numbers.length }, () => 1)];
      const cards = values.map((value) => `C${"A23456789T"[value - 1]}`);
      const frame = formulaFrame(makeGame(), cards, formula.map(String));
      const path = fileURLToPath(new URL(`../${file}`, `file://${index!}`));
      expect(largestDifference(frame, path, blanked), file).toBe(0);
    }
  });
});
