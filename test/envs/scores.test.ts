import { describe, expect, test } from "vitest";
import type { Environment, ResetResult, StepResult } from "../../envs/env.js";
import { Blackjack, type BlackjackInfo } from "../../envs/gym-cards/blackjack.js";
import { bestReturnStrategy, handTotal } from "../../envs/gym-cards/blackjack-strategy.js";
import { cardValue } from "../../envs/gym-cards/cards.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import { NumberLine, type NumberLineInfo } from "../../envs/gym-cards/number-line.js";
import { Points24 } from "../../envs/gym-cards/points24.js";
import { deriveKey, Random } from "../../src/random.js";

const EPISODES = 200_000;

/** An environment that answers at once. */
interface Game<Info> extends Environment<Info> {
  reset(seed: number): ResetResult<Info>;
  step(action: number): StepResult<Info>;
}

interface Score {
  readonly success: number;
  readonly return: number;
  readonly steps: number;
}

/** Plays the episodes of seeds 0, 1, ..., and holds their means against exact ones, within three standard errors. */
function checkScore<Info>(
  game: Game<Info>,
  choose: (info: Info) => number,
  exact: Score,
  resolution: Score,
  episodes = EPISODES,
): void {
  const sums = { success: 0, return: 0, steps: 0 };
  const squares = { ...sums };
  for (let seed = 0; seed < episodes; seed++) {
    let { info } = game.reset(seed);
    const played = { success: 0, return: 0, steps: 0 };
    for (;;) {
      const { reward, terminated, truncated, info: next } = game.step(choose(info));
      info = next;
      played.return += reward;
      played.steps += 1;
      if (!terminated && !truncated) continue;
      played.success = game.isSuccess({ ...played, terminated, lastInfo: info }) ? 1 : 0;
      break;
    }
    for (const figure of ["success", "return", "steps"] as const) {
      sums[figure] += played[figure];
      squares[figure] += played[figure] ** 2;
    }
  }
  for (const figure of ["success", "return", "steps"] as const) {
    const mean = sums[figure] / episodes;
    const error = Math.sqrt((squares[figure] / episodes - mean ** 2) / episodes);
    // What the exact score is known to counts as well: half of its last digit.
    const allowed = 3 * error + resolution[figure] / 2;
    expect(Math.abs(mean - exact[figure]), `${figure}: ${mean}, expected ${exact[figure]}`).toBeLessThan(
      allowed + 1e-12,
    );
  }
}

/** Uniform random actions. */
function uniform(game: Pick<Environment, "actionSpace">): () => number {
  const random = new Random(deriveKey(7));
  const actions = game.actionSpace.labels.length;
  return () => random.integer(actions);
}

describe("uniform random play scores as computed exactly", () => {
  test("NumberLine", () => {
    const game = new NumberLine();
    const exact = { success: 0.283, return: -2.483, steps: 6.19 };
    checkScore(game, uniform(game), exact, { success: 1e-4, return: 1e-3, steps: 1e-2 });
  });

  test("EZPoints", () => {
    const game = new EZPoints();
    const exact = { success: 0.000636, return: -4.185, steps: 5.58 };
    checkScore(game, uniform(game), exact, { success: 1e-6, return: 1e-3, steps: 1e-2 });
  });

  test("Points24, with one solved episode in a million at most", () => {
    const game = new Points24({ referenceEval: true });
    const exact = { success: 8.3e-7, return: -6.575, steps: 12.52 };
    checkScore(game, uniform(game), exact, { success: 1e-5, return: 1e-3, steps: 1e-2 });
  });

  test("Blackjack", () => {
    const game = new Blackjack();
    const exact = { success: 0.2806, return: -0.3959, steps: 1.38 };
    checkScore(game, uniform(game), exact, { success: 1e-4, return: 1e-4, steps: 1e-2 });
  });
});

describe("good play scores as computed exactly", () => {
  test("NumberLine, optimal", () => {
    const game = new NumberLine();
    const towards = ({ current, target }: NumberLineInfo) => (current < target ? 1 : 0);
    checkScore(
      game,
      towards,
      { success: 1, return: 1, steps: 2.278 },
      { success: 0, return: 0, steps: 1e-3 },
    );
  });

  test("EZPoints, optimal: every hand in four steps", () => {
    const game = new EZPoints();
    const best = (info: Parameters<EZPoints["optimalActions"]>[0]) => game.optimalActions(info)[0]!;
    const exact = { success: 1, return: 10, steps: 4 };
    checkScore(game, best, exact, { success: 0, return: 0, steps: 0 }, 20_000);
  });

  test.each([
    ["the largest return", "best", { success: 0.4295, return: -0.0466, steps: 1.545 }, 1e-3],
    ["hits below 17", 17, { success: 0.4077, return: -0.0793, steps: 1.62 }, 1e-2],
    ["always standing", 0, { success: 0.3807, return: -0.1864, steps: 1 }, 0],
    ["always hitting", 22, { success: 0, return: -1, steps: 1.93 }, 1e-2],
  ] as const)("Blackjack, %s", (_, threshold, exact, steps) => {
    const hits = ({ player, dealer }: BlackjackInfo): boolean => {
      const hand = handTotal(player.map(cardValue));
      if (threshold !== "best") return hand.total < threshold;
      return bestReturnStrategy.shouldHit(hand, cardValue(dealer[0]!));
    };
    const resolution = { success: 1e-4, return: 1e-4, steps };
    checkScore(new Blackjack(), (info) => (hits(info) ? 1 : 0), exact, resolution);
  });
});

describe("deals follow the reference's distributions", () => {
  /** Whether a count of n trials is within four standard deviations of probability p. */
  const expectShare = (count: number, n: number, p: number) =>
    expect(Math.abs(count - n * p)).toBeLessThan(4 * Math.sqrt(n * p * (1 - p)));

  test("EZPoints: pairs of values, either order, every suit", () => {
    const game = new EZPoints();
    const n = 24_000;
    const pairs = new Map<string, number>();
    let [firstIsSmaller, unequal, clubs] = [0, 0, 0];
    for (let seed = 0; seed < n; seed++) {
      const { cards, numbers } = game.reset(seed).info;
      const [a, b] = numbers as [number, number];
      const pair = `${Math.min(a, b)},${Math.max(a, b)}`;
      pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
      if (a !== b) unequal += 1;
      if (a < b) firstIsSmaller += 1;
      if (cards[0]![0] === "C") clubs += 1;
    }
    const exact = { "2,10": 9, "5,7": 4, "3,9": 3, "4,8": 3, "2,6": 2, "3,4": 2, "6,6": 1 };
    expect([...pairs.keys()].sort()).toEqual(Object.keys(exact).sort());
    for (const [pair, parts] of Object.entries(exact)) expectShare(pairs.get(pair)!, n, parts / 24);
    expectShare(firstIsSmaller, unequal, 1 / 2);
    expectShare(clubs, n, 1 / 4);
  });

  test("Points24: each of 52 cards alike", () => {
    const game = new Points24();
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 13_000; seed++) {
      for (const card of game.reset(seed).info.cards) counts.set(card, (counts.get(card) ?? 0) + 1);
    }
    expect(counts.size).toBe(52);
    for (const count of counts.values()) expectShare(count, 52_000, 1 / 52);
  });

  test("Blackjack: 13 ranks alike, J, Q and K of four parts, never a ten", () => {
    const game = new Blackjack();
    const n = 200_000;
    const counts = new Map<string, number>();
    for (let seed = 0; seed < n / 4; seed++) {
      const { dealer, player } = game.reset(seed).info;
      for (const [, rank] of [...dealer, ...player]) counts.set(rank!, (counts.get(rank!) ?? 0) + 1);
    }
    expect([...counts.keys()].sort().join("")).toBe("23456789AJKQ");
    for (const [rank, count] of counts) expectShare(count, n, "JQK".includes(rank) ? 4 / 39 : 1 / 13);
  });
});
