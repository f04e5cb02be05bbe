/**
 * Optimal play of Blackjack as gym_cards deals it: every card drawn independently from an infinite deck, the dealer stands on
 * 17 and more, soft or hard, a win pays 1 and a natural no more. The state is the player's total, whether an ace counts as 11
 * in it, and the dealer's open card; its value follows from exact dynamic programming.
 *
 * Source of the rules: Sutton and Barto, "Reinforcement Learning", 2nd edition, example 5.1, as Gymnasium's Blackjack-v1.
 */

/** What to play for: the expected return, or the probability to win, for which a draw counts as a loss. */
export type BlackjackObjective = "return" | "winRate";

/** What a hand counts. */
export interface HandTotal {
  /** Points, with one ace as 11 where that does not exceed 21, the others as 1. */
  readonly total: number;
  /** Whether an ace counts as 11. */
  readonly isSoft: boolean;
}

/** One way a game can end, with its probability. */
interface Chance {
  readonly total: number;
  readonly probability: number;
}

/** A hand of more points has lost. */
export const BUST_ABOVE = 21;
/** The dealer takes no card any more, soft or hard. */
export const DEALER_STANDS_FROM = 17;
/** Values 1 to 10 of a card from the infinite deck with their probabilities: of 13 ranks four count 10. */
const deck = Array.from({ length: 10 }, (_, i) => ({ value: i + 1, probability: (i === 9 ? 4 : 1) / 13 }));

/** @param values of the cards, 1 (ace) to 10; at least one */
export function handTotal(values: readonly number[]): HandTotal {
  const hard = values.reduce((sum, value) => sum + value, 0);
  const isSoft = values.includes(1) && hard + 10 <= BUST_ABOVE;
  return { total: isSoft ? hard + 10 : hard, isSoft };
}

/** The hand after one more card. */
function drawn({ total, isSoft }: HandTotal, value: number): HandTotal {
  const hard = (isSoft ? total - 10 : total) + value;
  const canBeSoft = (isSoft || value === 1) && hard + 10 <= BUST_ABOVE;
  return { total: canBeSoft ? hard + 10 : hard, isSoft: canBeSoft };
}

/** The optimal strategy for one objective. Values are exact up to rounding in double precision. */
export class BlackjackStrategy {
  readonly #objective: BlackjackObjective;
  readonly #values = new Map<string, { stand: number; hit: number }>();
  readonly #dealerTotals = new Map<number, readonly Chance[]>();

  constructor(objective: BlackjackObjective) {
    this.#objective = objective;
  }

  /**
   * Whether to take another card. No two actions of this game are worth the same, so the answer is unique.
   *
   * @param hand a total up to 21
   * @param openCard value of the dealer's open card, 1 (ace) to 10
   */
  shouldHit(hand: HandTotal, openCard: number): boolean {
    const { stand, hit } = this.#actionValues(hand, openCard);
    return hit > stand;
  }

  /** What the objective comes to from here under optimal play: an expected return, or a probability. */
  value(hand: HandTotal, openCard: number): number {
    const { stand, hit } = this.#actionValues(hand, openCard);
    return Math.max(stand, hit);
  }

  #actionValues(hand: HandTotal, openCard: number): { stand: number; hit: number } {
    const key = `${hand.total} ${hand.isSoft} ${openCard}`;
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    const stand = expected(this.#dealerEnds(openCard), (dealer) => this.#payoff(hand.total, dealer.total));
    const hit = expected(deck, ({ value }) => {
      const next = drawn(hand, value);
      return next.total > BUST_ABOVE ? this.#lost : this.value(next, openCard);
    });
    const values = { stand, hit };
    this.#values.set(key, values);
    return values;
  }

  /** The totals at which the dealer ends, from the open card on. */
  #dealerEnds(openCard: number): readonly Chance[] {
    const known = this.#dealerTotals.get(openCard);
    if (known !== undefined) return known;
    const probabilities = new Map<number, number>();
    const play = (hand: HandTotal, probability: number): void => {
      if (hand.total >= DEALER_STANDS_FROM) {
        probabilities.set(hand.total, (probabilities.get(hand.total) ?? 0) + probability);
        return;
      }
      for (const card of deck) play(drawn(hand, card.value), probability * card.probability);
    };
    play(handTotal([openCard]), 1);
    const ends = Array.from(probabilities, ([total, probability]) => ({ total, probability }));
    this.#dealerTotals.set(openCard, ends);
    return ends;
  }

  #payoff(player: number, dealer: number): number {
    if (dealer > BUST_ABOVE || player > dealer) return 1;
    return player === dealer && this.#objective === "return" ? 0 : this.#lost;
  }

  get #lost(): number {
    return this.#objective === "return" ? -1 : 0;
  }
}

function expected<Outcome extends { readonly probability: number }>(
  outcomes: readonly Outcome[],
  of: (outcome: Outcome) => number,
): number {
  return outcomes.reduce((sum, outcome) => sum + outcome.probability * of(outcome), 0);
}

/** The strategy with the largest expected return; a discount of 0.9 per decision leads to the same one. */
export const bestReturnStrategy = new BlackjackStrategy("return");
