import { deriveKey, Random } from "../../src/random.js";
import type { ActionSpace, Environment, EpisodeOutcome, Frame, ResetResult, StepResult } from "../env.js";
import { NoEpisodeError, OutOfRangeError } from "../errors.js";
import { cardValue } from "./cards.js";
import { formulaEquals, PLACEHOLDER, unusedNumbers } from "./formula.js";
import type { FormulaSolver } from "./formula-solver.js";
import { FrameMemory } from "./frame-memory.js";
import { projectAction } from "./projection.js";
import { pythonFormulaEquals } from "./python-formula.js";
import { createFrame, felt, withFrame } from "./rendering.js";

/** State of EZPoints and Points24, never the policy's to see. */
export interface FormulaInfo {
  /** Names as of `cards.ts`, in the order of the image. */
  readonly cards: readonly string[];
  /** Value of each card, 1 to 10. */
  readonly numbers: readonly number[];
  /** Tokens so far; an illegal number leaves " ". */
  readonly formula: readonly string[];
  /** Actions so far. */
  readonly steps: number;
}

export interface FormulaGameOptions {
  /** Whether the prompt asks for a chain of thought before the action. Default true. */
  readonly thoughts?: boolean;
  /** Whether formulas are evaluated as Python's `eval` does (`python-formula.ts`), as the reference does. Default false. */
  readonly referenceEval?: boolean;
}

/** What tells one formula game from another. */
export interface FormulaGameSpec {
  readonly id: string;
  /** Target, symbols and length limit. */
  readonly solver: FormulaSolver;
  readonly handSize: number;
  /** @param formula the tokens so far as one string */
  prompt(formula: string, thoughts: boolean): string;
  deal(random: Random): string[];
  /** Draws what stays the same while a hand is played onto an empty table. */
  drawHand(frame: Frame, cards: readonly string[]): void;
  /** Draws the formula onto a copy of that. */
  drawFormula(frame: Frame, formula: readonly string[]): void;
}

/** How an episode failed; the first that applies, in this order. */
export type FormulaFailure =
  /** No formula of the hand reaches the target, in exact arithmetic. */
  | "unsolvable hand"
  /** At least one number was not in the hand, or no longer. */
  | "illegal number"
  /** The formula outgrew its limit. */
  | "too long"
  /** It was ended before all cards were used. */
  | "cards left over"
  /** It was ended with another value than the target, or none. */
  | "wrong value";

const FRAME_SIZE = 300;
const emptyTable = createFrame(FRAME_SIZE, FRAME_SIZE, felt);

const LARGEST_NUMBER = 10;
const SOLVED_REWARD = 10;
const WRONG_REWARD = -1;

/**
 * A formula built token by token from the numbers of a hand of cards (Zhai et al. 2024, arXiv 2405.10292): what EZPoints and
 * Points24 share.
 *
 * | | |
 * |---|---|
 * | Action i < 10 | appends the number i + 1; one that the hand does not hold, or no longer, appends a space instead: reward -1 |
 * | Then | one action per symbol: appends it |
 * | Last action, "=" | ends the episode: reward 10 if all cards are used and the formula equals the target, else -1 |
 * | Truncation | any action while the formula is longer than the limit: reward -1 |
 * | Success | undiscounted return > 0 |
 *
 * The formula is evaluated in exact arithmetic; with `referenceEval` as Python evaluates it.
 */
export abstract class FormulaGame implements Environment<FormulaInfo> {
  readonly id: string;
  readonly actionSpace: ActionSpace;
  /**
   * Whether the response gives the values of the cards in the order of the image. Absent without thoughts, where responses do
   * not state them.
   */
  readonly readsState?: (response: string, info: FormulaInfo) => boolean;

  readonly #spec: FormulaGameSpec;
  readonly #thoughts: boolean;
  readonly #isTarget: (formula: readonly string[]) => boolean;
  /** The running episode; undefined before the first and after the end of each. */
  #episode: FormulaInfo | undefined;
  readonly #frames = new FrameMemory();
  /** What all frames of the episode begin with, once one was drawn. */
  #hand: { readonly cards: readonly string[]; readonly frame: Frame } | undefined;

  constructor(spec: FormulaGameSpec, { thoughts = true, referenceEval = false }: FormulaGameOptions) {
    const { target, symbols } = spec.solver.rules;
    this.id = spec.id;
    const numbers = Array.from({ length: LARGEST_NUMBER }, (_, i) => String(i + 1));
    this.actionSpace = { labels: [...numbers, ...symbols, "="] };
    this.#spec = spec;
    this.#thoughts = thoughts;
    const equals = referenceEval ? pythonFormulaEquals : formulaEquals;
    this.#isTarget = (formula) => equals(formula, target);
    if (thoughts) {
      this.readsState = (response, info) => {
        const stated = /"cards"\s*:\s*\[([^\]]*)\]/.exec(response)?.[1];
        return stated !== undefined && stated.split(",").map(Number).join() === info.numbers.join();
      };
    }
  }

  reset(seed: number): ResetResult<FormulaInfo> {
    return this.resetTo(this.#spec.deal(new Random(deriveKey(seed))));
  }

  /**
   * Starts an episode with given cards instead of drawn ones.
   *
   * @param cards as many names as the game deals
   * @throws RangeError otherwise
   */
  resetTo(cards: readonly string[]): ResetResult<FormulaInfo> {
    const { handSize } = this.#spec;
    if (cards.length !== handSize) throw new OutOfRangeError("cards", `${handSize} cards`, cards.length);
    const info = { cards: [...cards], numbers: cards.map(cardValue), formula: [], steps: 0 };
    this.#episode = info;
    return withFrame({ info }, () => this.#draw(info));
  }

  step(action: number): StepResult<FormulaInfo> {
    const { labels } = this.actionSpace;
    const token = labels[action];
    if (token === undefined) {
      throw new OutOfRangeError("action", `an index from 0 to ${labels.length - 1}`, action);
    }
    if (this.#episode === undefined) throw new NoEpisodeError();
    const before = { ...this.#episode, steps: this.#episode.steps + 1 };
    const { formula, numbers } = before;

    if (formula.length > this.#spec.solver.rules.maxTokens) {
      return this.#end(before, { reward: WRONG_REWARD, truncated: true });
    }
    if (token === "=") {
      const isSolved = unusedNumbers(numbers, formula).length === 0 && this.#isTarget(formula);
      return this.#end(before, { reward: isSolved ? SOLVED_REWARD : WRONG_REWARD, terminated: true });
    }
    const isLegal = this.isLegal(action, before);
    const info = { ...before, formula: [...formula, isLegal ? token : PLACEHOLDER] };
    this.#episode = info;
    const reward = isLegal ? 0 : WRONG_REWARD;
    return withFrame({ reward, terminated: false, truncated: false, info }, () => this.#draw(info));
  }

  recycle(frame: Frame): void {
    this.#frames.takeBack(frame);
  }

  prompt({ formula }: FormulaInfo): string {
    return this.#spec.prompt(formula.join(""), this.#thoughts);
  }

  parseAction(response: string): number | undefined {
    return projectAction(response, this.actionSpace.labels);
  }

  isSuccess(outcome: EpisodeOutcome<FormulaInfo>): boolean {
    return outcome.return > 0;
  }

  /** Whether the action is a symbol, "=" or a number of the hand that the formula has not used. */
  isLegal(action: number, { numbers, formula }: FormulaInfo): boolean {
    return action >= LARGEST_NUMBER || unusedNumbers(numbers, formula).includes(action + 1);
  }

  failureOf({ terminated, lastInfo: { numbers, formula } }: EpisodeOutcome<FormulaInfo>): FormulaFailure {
    if (this.#spec.solver.plan(numbers, []) === undefined) return "unsolvable hand";
    if (formula.includes(PLACEHOLDER)) return "illegal number";
    if (!terminated) return "too long";
    return unusedNumbers(numbers, formula).length > 0 ? "cards left over" : "wrong value";
  }

  /**
   * Every token after which the target can still be reached; where none is, "=", the cheapest end. In exact arithmetic and of
   * well-formed formulas, with `referenceEval` too.
   */
  optimalActions({ numbers, formula }: FormulaInfo): readonly number[] {
    const { labels } = this.actionSpace;
    return this.#spec.solver.bestTokens(numbers, formula).map((token) => labels.indexOf(token));
  }

  #end(
    info: FormulaInfo,
    {
      reward,
      terminated = false,
      truncated = false,
    }: { reward: number; terminated?: boolean; truncated?: boolean },
  ): StepResult<FormulaInfo> {
    this.#episode = undefined;
    return withFrame({ reward, terminated, truncated, info }, () => this.#draw(info));
  }

  #draw({ cards, formula }: FormulaInfo): Frame {
    if (this.#hand?.cards !== cards) {
      if (this.#hand !== undefined) this.#frames.takeBack(this.#hand.frame);
      this.#hand = { cards, frame: this.#frames.copy(emptyTable) };
      this.#spec.drawHand(this.#hand.frame, cards);
    }
    const frame = this.#frames.copy(this.#hand.frame);
    this.#spec.drawFormula(frame, formula);
    return frame;
  }
}
