import type { Expert } from "../env.js";
import type { BlackjackInfo } from "./blackjack.js";
import { bestReturnStrategy, handTotal } from "./blackjack-strategy.js";
import { cardValue } from "./cards.js";
import { decidesWrongly, type ExpertOptions } from "./expert.js";

/**
 * Writes Blackjack responses in the wording of the paper's solver (Zhai et al. 2024, arXiv 2405.10292, appendix D): JSON in the
 * layout of the prompt's example, with the keys "thoughts" and "action"; or, without thoughts, "action" alone. The player's
 * points count an ace as 11 where that does not exceed 21; the dealer's are the value of the open card, an ace as 1. The right
 * decision is that of the largest expected return; a wrong one is the opposite, of the same points.
 */
export class BlackjackExpert implements Expert<BlackjackInfo> {
  readonly #writesThoughts: boolean;

  constructor({ thoughts = true }: ExpertOptions = {}) {
    this.#writesThoughts = thoughts;
  }

  /**
   * Takes one number from `uniform`.
   *
   * @throws RangeError for an error rate outside [0, 1]
   */
  respond({ player, dealer }: BlackjackInfo, uniform: () => number, errorRate: number): string {
    const isWrong = decidesWrongly(uniform, errorRate);
    const hand = handTotal(player.map(cardValue));
    const openCard = cardValue(dealer[0]!);
    const action = bestReturnStrategy.shouldHit(hand, openCard) !== isWrong ? "hit" : "stand";
    if (!this.#writesThoughts) return `{\n "action": "${action}" \n}`;
    const thoughts =
      `I have ${hand.total} points and the dealer has ${openCard} points. ` + `I think I should ${action}.`;
    return `{\n "thoughts": "${thoughts}", \n"action": "${action}" \n}`;
  }
}
