import { deriveKey, Random } from "../../src/random.js";
import type { ActionSpace, Environment, EpisodeOutcome, Frame, ResetResult, StepResult } from "../env.js";
import { NoEpisodeError, OutOfRangeError } from "../errors.js";
import { FrameMemory } from "./frame-memory.js";
import { projectAction } from "./projection.js";
import { black, createFrame, drawStrip, drawText, loadFont, white, withFrame } from "./rendering.js";

export interface NumberLineState {
  /** Where to go, 0 to 5. */
  readonly target: number;
  /** Where the player stands, 0 to 5. */
  readonly current: number;
}

export interface NumberLineInfo extends NumberLineState {
  /** Moves made so far. */
  readonly steps: number;
}

export interface NumberLineOptions {
  /** Whether the prompt asks for a chain of thought before the action. Default true. */
  readonly thoughts?: boolean;
  /**
   * Whether an episode may start at its target, as in the reference until June 2024. The target t of such a start becomes
   * (t + 1) mod 5 in the first step, after that step's reward and frame. Default false.
   */
  readonly paperReset?: boolean;
}

/** The line's last number; its first is 0. */
export const MAX_POSITION = 5;
const MAX_STEPS = 2 * MAX_POSITION;
const POSITIONS = MAX_POSITION + 1;
const FRAME_SIZE = 300;

const TASK =
  "You are playing a game called number line. You will see a target number and a current number in the " +
  "image. And your goal is to move the current number closer to the target by choosing either adding or " +
  "subtracting one to the current number. Your response should be a valid json file in the following " +
  "format: \n";
const THOUGHTS_FORMAT =
  '{\n "current number": "x", \n"target number": "x", \n"thoughts": "{first read out the current and ' +
  'target number, then think carefully about which action to choose}", \n"action": "-" or "+" \n}';
const ACTION_FORMAT = '{\n "action": "-" or "+" \n}';

/** The number that a response states under a key, quoted or not. */
function statedNumber(response: string, key: string): number | undefined {
  const match = new RegExp(`"${key}"\\s*:\\s*"?\\s*(\\d+)`).exec(response);
  return match === null ? undefined : Number(match[1]);
}

/** Tall enough for every character of the font. */
const LINE_HEIGHT = 44;

/** What every frame begins with: the empty frame, and below each other the texts that it can show, by number. */
interface Parts {
  readonly empty: Frame;
  readonly targets: readonly Frame[];
  readonly currents: readonly Frame[];
}

let parts: Parts | undefined;

/** Draws each text once. */
function makeParts(): Parts {
  const font = loadFont("dejavu-sans-bold-36");
  const line = (text: string) => {
    const strip = createFrame(FRAME_SIZE, LINE_HEIGHT, white);
    drawText(strip, font, text, 30, 0, black);
    return strip;
  };
  const lines = (label: string) => Array.from({ length: POSITIONS }, (_, i) => line(`${label}: ${i}`));
  return {
    empty: createFrame(FRAME_SIZE, FRAME_SIZE, white),
    targets: lines("Target"),
    currents: lines("Current"),
  };
}

/**
 * NumberLine of gym_cards (Zhai et al. 2024, arXiv 2405.10292): move a number to a target, one at a time.
 *
 * | | |
 * |---|---|
 * | Observation | 300 x 300 RGB: "Target: t" above "Current: c" |
 * | Action 0, "-" | c becomes max(c - 1, 0) |
 * | Action 1, "+" | c becomes min(c + 1, 5) |
 * | Reward | 1 at the target, else -1 if the move did not bring c closer to it, else 0 |
 * | Start | t and c independent and uniform over 0 to 5; where they are equal, t becomes (t + 1) mod 5 |
 * | Termination | the target is reached |
 * | Truncation | after 10 moves without reaching it |
 * | Success | undiscounted return > 0: the target is reached and no move was punished |
 *
 * Follows the reference at its last revision (b989b57). Its (t + 1) mod 5, not 6, makes the starts
 * (c, t) = (0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (5, 1) twice as likely as the other 24 pairs. Its rule
 * that moves the target during a step while the start equals the target cannot fire, since no episode starts
 * at its target; it is left out. `paperReset` has the start as it was before, and that rule with it.
 *
 * Differs from the reference in: the seed fixes the start, where the reference ignores it.
 */
export class NumberLine implements Environment<NumberLineInfo> {
  readonly id = "gym-cards/number-line-v1";
  readonly actionSpace: ActionSpace = { labels: ["-", "+"] };
  /**
   * Whether the response gives both numbers as the image shows them. Absent without thoughts, where
   * responses do not state them.
   */
  readonly readsState?: (response: string, info: NumberLineInfo) => boolean;

  readonly #prompt: string;
  readonly #paperReset: boolean;
  readonly #frames = new FrameMemory();
  /** The running episode; undefined before the first and after the end of each. */
  #episode: NumberLineInfo | undefined;

  constructor({ thoughts = true, paperReset = false }: NumberLineOptions = {}) {
    this.#paperReset = paperReset;
    this.#prompt = TASK + (thoughts ? THOUGHTS_FORMAT : ACTION_FORMAT);
    if (thoughts) {
      this.readsState = (response, info) =>
        statedNumber(response, "current number") === info.current &&
        statedNumber(response, "target number") === info.target;
    }
  }

  reset(seed: number): ResetResult<NumberLineInfo> {
    const random = new Random(deriveKey(seed));
    const current = random.integer(POSITIONS);
    const target = random.integer(POSITIONS);
    const isMoved = target === current && !this.#paperReset;
    return this.resetTo({ current, target: isMoved ? (target + 1) % MAX_POSITION : target });
  }

  /**
   * Starts an episode from a given state instead of a drawn one.
   *
   * @throws RangeError unless both are integers from 0 to 5 and, without `paperReset`, differ
   */
  resetTo({ current, target }: NumberLineState): ResetResult<NumberLineInfo> {
    for (const [name, value] of Object.entries({ current, target })) {
      if (!Number.isInteger(value) || value < 0 || value > MAX_POSITION) {
        throw new OutOfRangeError(name, `an integer from 0 to ${MAX_POSITION}`, value);
      }
    }
    if (current === target && !this.#paperReset)
      throw new OutOfRangeError("target", "a number other than current", target);
    const info = { target, current, steps: 0 };
    this.#episode = info;
    return withFrame({ info }, () => this.#draw(info));
  }

  step(action: number): StepResult<NumberLineInfo> {
    if (action !== 0 && action !== 1) throw new OutOfRangeError("action", "0 (-) or 1 (+)", action);
    if (this.#episode === undefined) throw new NoEpisodeError();
    const { target, current: before, steps } = this.#episode;
    const current = action === 0 ? Math.max(before - 1, 0) : Math.min(before + 1, MAX_POSITION);
    const info = { target, current, steps: steps + 1 };

    const terminated = current === target;
    const truncated = !terminated && info.steps === MAX_STEPS;
    const closer = Math.abs(current - target) < Math.abs(before - target);
    const reward = terminated ? 1 : closer ? 0 : -1;
    // Only a start with paperReset stands at its target; what it moves to is seen from the next frame on.
    const goesOn = steps === 0 && before === target ? { ...info, target: (target + 1) % MAX_POSITION } : info;
    this.#episode = terminated || truncated ? undefined : goesOn;
    return withFrame({ reward, terminated, truncated, info }, () => this.#draw(info));
  }

  recycle(frame: Frame): void {
    this.#frames.takeBack(frame);
  }

  prompt(_info: NumberLineInfo): string {
    return this.#prompt;
  }

  parseAction(response: string, _info: NumberLineInfo): number | undefined {
    return projectAction(response, this.actionSpace.labels);
  }

  isSuccess(outcome: EpisodeOutcome<NumberLineInfo>): boolean {
    return outcome.return > 0;
  }

  /** "too slow": the target is not reached; "wrong move": it is, with at least as many punished moves as rewards. */
  failureOf({ terminated }: EpisodeOutcome<NumberLineInfo>): "too slow" | "wrong move" {
    return terminated ? "wrong move" : "too slow";
  }

  /**
   * The move towards the target that the frame shows; none where it is reached. Of a start at the target, the move that the
   * end of the line blocks, which solves it; elsewhere no move does, and "-" loses least.
   */
  optimalActions({ target, current, steps }: NumberLineInfo): readonly number[] {
    if (current === target) return !this.#paperReset || steps > 0 ? [] : [current === MAX_POSITION ? 1 : 0];
    return current > target ? [0] : [1];
  }

  #draw({ target, current }: NumberLineState): Frame {
    parts ??= makeParts();
    const frame = this.#frames.copy(parts.empty);
    drawStrip(frame, parts.targets[target]!, 60);
    drawStrip(frame, parts.currents[current]!, 180);
    return frame;
  }
}
