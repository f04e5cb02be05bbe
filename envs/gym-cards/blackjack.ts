import { deriveKey, Random } from "../../src/random.js";
import type { ActionSpace, Environment, EpisodeOutcome, Frame, ResetResult, StepResult } from "../env.js";
import { NoEpisodeError, OutOfRangeError } from "../errors.js";
import { BUST_ABOVE, bestReturnStrategy, DEALER_STANDS_FROM, handTotal } from "./blackjack-strategy.js";
import { drawCard, loadCards } from "./card-drawing.js";
import { cardIndex, cardValue, ranks, suits } from "./cards.js";
import { FrameMemory } from "./frame-memory.js";
import { projectAction } from "./projection.js";
import { createFrame, drawText, felt, loadFont, white, withFrame } from "./rendering.js";

/** State of Blackjack, never the policy's to see: the dealer's cards but the first are face down. */
export interface BlackjackInfo {
  /** Names as of `cards.ts`; the first lies open. */
  readonly dealer: readonly string[];
  readonly player: readonly string[];
  /** Actions so far. */
  readonly steps: number;
}

export interface BlackjackOptions {
  /** Whether the prompt asks for a chain of thought before the action. Default true. */
  readonly thoughts?: boolean;
  /**
   * Whether the player's cards lie side by side as in the reference, where the fifth is outside the frame. Otherwise more than
   * four overlap, so that the corner of each is seen. Default false.
   */
  readonly hiddenFifthCard?: boolean;
}

const FRAME_SIZE = 300;
const LEFT = 5;
const OPEN_CARD_TOP = 25;
const PLAYER_TOP = 150;
const SECOND_ROW_TOP = 252;
/** Cards side by side that fit into the frame, and the distance between their left edges. */
const CARDS_PER_ROW = 4;
const PITCH = 74;
/** Where the reference breaks the row: one card too late. */
const REFERENCE_CARDS_PER_ROW = 5;

const TASK =
  "You are a blackjack player. You are observing the current game state, you can choose between ['stand', 'hit']. Your " +
  "response should be a valid json file in the following format: \n";
const THOUGHTS_FORMAT =
  '{\n "thoughts": "{first describe your total points and the dealer\'s total points then think about which action to ' +
  'choose}", \n"action": "stand" or "hit" \n}';
const ACTION_FORMAT = '{\n "action": "stand" or "hit" \n}';

/** A card of the infinite deck: ten-valued ones are J, Q or K, as the reference never shows a ten. */
function drawnCard(random: Random): string {
  const value = Math.min(1 + random.integer(13), 10);
  const suit = random.pick(suits);
  return suit + (value === 10 ? random.pick(["J", "Q", "K"] as const) : ranks[value - 1]!);
}

/** Points of a hand; 0 where it has more than 21. */
function score(hand: readonly string[]): number {
  const { total } = handTotal(hand.map(cardValue));
  return total > BUST_ABOVE ? 0 : total;
}

/** What all frames begin with, once one was drawn. */
let table: Frame | undefined;

/** Both texts and the card that lies face down. */
function drawTable(): Frame {
  const frame = createFrame(FRAME_SIZE, FRAME_SIZE, felt);
  const font = loadFont("dejavu-sans-bold-16");
  drawText(frame, font, "Dealer", LEFT, 5, white);
  drawText(frame, font, "Player", LEFT, 130, white);
  drawCard(frame, loadCards("70x98"), "back", 78, OPEN_CARD_TOP);
  return frame;
}

/**
 * Blackjack of gym_cards (Zhai et al. 2024, arXiv 2405.10292), which is Gymnasium's Blackjack-v1 with pictures.
 *
 * | | |
 * |---|---|
 * | Observation | 300 x 300 RGB: the dealer's open card beside a face-down one, the player's cards below |
 * | Action 0, "stand" | the dealer draws up to 17 or more, soft or hard; the episode ends |
 * | Action 1, "hit" | the player draws a card; the episode ends above 21 |
 * | Reward | at the end 1 for more points than the dealer, 0 for as many, -1 for fewer or more than 21; a natural earns no more |
 * | Cards | from an infinite deck; an ace counts 11 where that does not exceed 21, else 1 |
 * | Success | undiscounted return > 0: the hand is won; a draw is none |
 *
 * Follows the reference at its last revision (b989b57). Differs in: the seed fixes the cards; more than four cards are laid out so
 * that all are seen (`hiddenFifthCard` for the reference's way); the cards are another deck.
 */
export class Blackjack implements Environment<BlackjackInfo> {
  readonly id = "gym-cards/blackjack-v1";
  readonly actionSpace: ActionSpace = { labels: ["stand", "hit"] };
  /**
   * Whether the response gives the player's points and those of the dealer's open card (an ace as 1 or 11), in this order. Absent
   * without thoughts, where responses do not state them.
   */
  readonly readsState?: (response: string, info: BlackjackInfo) => boolean;

  readonly #prompt: string;
  readonly #hidesFifthCard: boolean;
  readonly #frames = new FrameMemory();
  /** The running episode and where its cards come from; undefined before the first and after the end of each. */
  #episode: { info: BlackjackInfo; nextCard: () => string } | undefined;

  constructor({ thoughts = true, hiddenFifthCard = false }: BlackjackOptions = {}) {
    this.#prompt = TASK + (thoughts ? THOUGHTS_FORMAT : ACTION_FORMAT);
    this.#hidesFifthCard = hiddenFifthCard;
    if (thoughts) {
      this.readsState = (response, { player, dealer }) => {
        const [points, open] = [...response.matchAll(/(\d+) points/g)].map((match) => Number(match[1]));
        const value = cardValue(dealer[0]!);
        return (
          points === handTotal(player.map(cardValue)).total &&
          (open === value || (value === 1 && open === 11))
        );
      };
    }
  }

  reset(seed: number): ResetResult<BlackjackInfo> {
    const random = new Random(deriveKey(seed));
    return this.#begin(() => drawnCard(random));
  }

  /**
   * Starts an episode with given cards instead of drawn ones.
   *
   * @param deck names in the order in which they are drawn: two for the dealer, two for the player, then as needed. A step that
   *   needs more is a RangeError
   * @throws RangeError for fewer than four cards, or what is no card
   */
  resetTo(deck: readonly string[]): ResetResult<BlackjackInfo> {
    for (const card of deck) cardIndex(card);
    let drawn = 0;
    return this.#begin(() => {
      const card = deck[drawn++];
      if (card === undefined)
        throw new OutOfRangeError("deck", `more than ${deck.length} cards`, deck.length);
      return card;
    });
  }

  step(action: number): StepResult<BlackjackInfo> {
    if (action !== 0 && action !== 1) throw new OutOfRangeError("action", "0 (stand) or 1 (hit)", action);
    if (this.#episode === undefined) throw new NoEpisodeError();
    const { info: before, nextCard } = this.#episode;
    const steps = before.steps + 1;
    if (action === 1) {
      const player = [...before.player, nextCard()];
      const isBust = score(player) === 0;
      return this.#result({ ...before, player, steps }, nextCard, isBust ? -1 : 0, isBust);
    }
    const dealer = [...before.dealer];
    while (handTotal(dealer.map(cardValue)).total < DEALER_STANDS_FROM) dealer.push(nextCard());
    const reward = Math.sign(score(before.player) - score(dealer));
    return this.#result({ ...before, dealer, steps }, nextCard, reward, true);
  }

  recycle(frame: Frame): void {
    this.#frames.takeBack(frame);
  }

  prompt(_info: BlackjackInfo): string {
    return this.#prompt;
  }

  parseAction(response: string): number | undefined {
    return projectAction(response, this.actionSpace.labels);
  }

  isSuccess(outcome: EpisodeOutcome<BlackjackInfo>): boolean {
    return outcome.return > 0;
  }

  /** "bust": more than 21 points; "draw": as many as the dealer; "lost": fewer. */
  failureOf({
    return: outcome,
    lastInfo: { player },
  }: EpisodeOutcome<BlackjackInfo>): "bust" | "draw" | "lost" {
    if (score(player) === 0) return "bust";
    return outcome === 0 ? "draw" : "lost";
  }

  /** The action of the largest expected return; none above 21. */
  optimalActions({ player, dealer }: BlackjackInfo): readonly number[] {
    const hand = handTotal(player.map(cardValue));
    if (hand.total > BUST_ABOVE) return [];
    return bestReturnStrategy.shouldHit(hand, cardValue(dealer[0]!)) ? [1] : [0];
  }

  #begin(nextCard: () => string): ResetResult<BlackjackInfo> {
    const dealer = [nextCard(), nextCard()];
    const player = [nextCard(), nextCard()];
    const info = { dealer, player, steps: 0 };
    this.#episode = { info, nextCard };
    return withFrame({ info }, () => this.#draw(info));
  }

  #result(
    info: BlackjackInfo,
    nextCard: () => string,
    reward: number,
    terminated: boolean,
  ): StepResult<BlackjackInfo> {
    this.#episode = terminated ? undefined : { info, nextCard };
    return withFrame({ reward, terminated, truncated: false, info }, () => this.#draw(info));
  }

  /** The dealer's hidden cards stay hidden at the end too. */
  #draw({ dealer, player }: BlackjackInfo): Frame {
    table ??= drawTable();
    const frame = this.#frames.copy(table);
    const atlas = loadCards("70x98");
    drawCard(frame, atlas, dealer[0]!, LEFT, OPEN_CARD_TOP);
    if (this.#hidesFifthCard) {
      player.forEach((card, i) => {
        const [row, column] = [Math.floor(i / REFERENCE_CARDS_PER_ROW), i % REFERENCE_CARDS_PER_ROW];
        drawCard(frame, atlas, card, LEFT + PITCH * column, row === 0 ? PLAYER_TOP : SECOND_ROW_TOP);
      });
    } else {
      const room = FRAME_SIZE - LEFT - atlas.width - LEFT;
      const pitch = player.length <= CARDS_PER_ROW ? PITCH : Math.floor(room / (player.length - 1));
      player.forEach((card, i) => {
        drawCard(frame, atlas, card, LEFT + pitch * i, PLAYER_TOP);
      });
    }
    return frame;
  }
}
