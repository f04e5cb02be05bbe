import { describe, expect, test } from "vitest";
import { BlackjackStrategy, type HandTotal, handTotal } from "../../envs/gym-cards/blackjack-strategy.js";
import { deriveKey, Random } from "../../src/random.js";

const cards = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const chance = (card: number): number => (card === 10 ? 4 : 1) / 13;

interface Outcome {
  win: number;
  draw: number;
  length: number;
}

/** The exact outcome of a strategy by enumerating every deal, written apart from the strategy's own recursion. */
function outcomeOf(strategy: BlackjackStrategy): Outcome & { return: number } {
  const dealerEnd = (hand: readonly number[]): Map<number, number> => {
    const { total } = handTotal(hand);
    if (total >= 17) return new Map([[Math.min(total, 22), 1]]);
    const ends = new Map<number, number>();
    for (const card of cards) {
      for (const [end, p] of dealerEnd([...hand, card]))
        ends.set(end, (ends.get(end) ?? 0) + chance(card) * p);
    }
    return ends;
  };
  const ends = new Map(cards.map((openCard) => [openCard, dealerEnd([openCard])]));
  const played = new Map<string, Outcome>();
  const play = (hand: readonly number[], openCard: number): Outcome => {
    const own = handTotal(hand);
    const key = `${own.total} ${own.isSoft} ${openCard}`;
    const known = played.get(key);
    if (known !== undefined) return known;
    const outcome: Outcome = { win: 0, draw: 0, length: 1 };
    if (strategy.shouldHit(own, openCard)) {
      for (const card of cards) {
        const next = [...hand, card];
        if (handTotal(next).total > 21) continue;
        const after = play(next, openCard);
        for (const field of ["win", "draw", "length"] as const) outcome[field] += chance(card) * after[field];
      }
    } else {
      for (const [end, p] of ends.get(openCard)!) {
        if (end === 22 || own.total > end) outcome.win += p;
        if (end === own.total) outcome.draw += p;
      }
    }
    played.set(key, outcome);
    return outcome;
  };
  const all: Outcome = { win: 0, draw: 0, length: 0 };
  for (const a of cards) {
    for (const b of cards) {
      for (const openCard of cards) {
        const dealt = play([a, b], openCard);
        const p = chance(a) * chance(b) * chance(openCard);
        for (const field of ["win", "draw", "length"] as const) all[field] += p * dealt[field];
      }
    }
  }
  return { ...all, return: 2 * all.win + all.draw - 1 };
}

describe("BlackjackStrategy", () => {
  test("counts an ace as 11 where it can", () => {
    expect(handTotal([1, 1])).toEqual({ total: 12, isSoft: true });
    expect(handTotal([1, 10])).toEqual({ total: 21, isSoft: true });
    expect(handTotal([1, 5, 6])).toEqual({ total: 12, isSoft: false });
    expect(handTotal([10, 9, 4])).toEqual({ total: 23, isSoft: false });
  });

  // The scores that exact dynamic programming of the published game gives.
  test("reaches the exact scores of the best return", () => {
    const outcome = outcomeOf(new BlackjackStrategy("return"));
    expect(outcome.win).toBeCloseTo(0.4295, 4);
    expect(outcome.draw).toBeCloseTo(0.0945, 4);
    expect(outcome.return).toBeCloseTo(-0.0466, 4);
    expect(outcome.length).toBeCloseTo(1.545, 3);
  });

  test("reaches the exact scores of the best win rate", () => {
    const outcome = outcomeOf(new BlackjackStrategy("winRate"));
    expect(outcome.win).toBeCloseTo(0.4316, 4);
    expect(outcome.draw).toBeCloseTo(0.0866, 4);
    expect(outcome.return).toBeCloseTo(-0.0502, 4);
    expect(outcome.length).toBeCloseTo(1.496, 3);
  });

  test("values its own play as it turns out", () => {
    for (const [objective, measured] of [
      ["return", "return"],
      ["winRate", "win"],
    ] as const) {
      const strategy = new BlackjackStrategy(objective);
      let value = 0;
      for (const a of cards) {
        for (const b of cards) {
          for (const c of cards) {
            value += chance(a) * chance(b) * chance(c) * strategy.value(handTotal([a, b]), c);
          }
        }
      }
      expect(value).toBeCloseTo(outcomeOf(strategy)[measured], 12);
    }
  });

  test("is the basic strategy of this game", () => {
    const strategy = new BlackjackStrategy("return");
    const standsFrom = (isSoft: boolean, openCard: number): number => {
      const totals = Array.from({ length: isSoft ? 10 : 18 }, (_, i) => i + (isSoft ? 12 : 4));
      const stands = totals.filter((total) => !strategy.shouldHit({ total, isSoft }, openCard));
      // A threshold: it stands on every total from the first on.
      expect(stands).toEqual(totals.slice(-stands.length));
      return stands[0]!;
    };
    const byOpenCard = (isSoft: boolean) => cards.map((openCard) => standsFrom(isSoft, openCard));
    expect(byOpenCard(false)).toEqual([17, 13, 13, 12, 12, 12, 17, 17, 17, 17]);
    expect(byOpenCard(true)).toEqual([19, 18, 18, 18, 18, 18, 18, 18, 19, 19]);
  });

  test("wins as often in play as the exact scores say", () => {
    const strategy = new BlackjackStrategy("return");
    const random = new Random(deriveKey(3));
    const draw = (): number => Math.min(1 + random.integer(13), 10);
    const n = 100_000;
    let [wins, sum, squares] = [0, 0, 0];
    for (let i = 0; i < n; i++) {
      const dealer = [draw(), draw()];
      const player = [draw(), draw()];
      let own: HandTotal = handTotal(player);
      while (own.total <= 21 && strategy.shouldHit(own, dealer[0]!)) {
        player.push(draw());
        own = handTotal(player);
      }
      while (own.total <= 21 && handTotal(dealer).total < 17) dealer.push(draw());
      const [a, b] = [own.total, handTotal(dealer).total];
      const reward = a > 21 ? -1 : b > 21 ? 1 : Math.sign(a - b);
      wins += reward === 1 ? 1 : 0;
      sum += reward;
      squares += reward * reward;
    }
    expect(Math.abs(wins / n - 0.4295)).toBeLessThan(3 * Math.sqrt((0.4295 * 0.5705) / n));
    expect(Math.abs(sum / n + 0.0466)).toBeLessThan(3 * Math.sqrt(squares / n / n));
  });
});
