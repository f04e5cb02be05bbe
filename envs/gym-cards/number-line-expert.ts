import type { Expert } from "../env.js";
import { OutOfRangeError } from "../errors.js";
import { decidesWrongly, type ExpertOptions } from "./expert.js";
import { MAX_POSITION, type NumberLineInfo } from "./number-line.js";

/**
 * Writes NumberLine responses as the paper's solver does (Zhai et al. 2024, arXiv 2405.10292, appendix D):
 * JSON in the layout of the prompt's example, with the keys "current number", "target number", "thoughts"
 * and "action"; or, without thoughts, "action" alone. A wrong decision is wrong throughout: both numbers are
 * read correctly, and the comparison and everything that follows from it are flipped, so that thought and
 * action still agree.
 */
export class NumberLineExpert implements Expert<NumberLineInfo> {
  readonly #writesThoughts: boolean;

  constructor({ thoughts = true }: ExpertOptions = {}) {
    this.#writesThoughts = thoughts;
  }

  /**
   * Takes one number from `uniform`.
   *
   * @throws RangeError for an error rate outside [0, 1], or where the target is reached and nothing is left
   *   to decide. A start at the target (`paperReset`) is none of these: its right move is that of
   *   `NumberLine.optimalActions`
   */
  respond({ current, target, steps }: NumberLineInfo, uniform: () => number, errorRate: number): string {
    if (current === target && steps > 0) {
      throw new OutOfRangeError("info", "a state with current different from target", `both ${current}`);
    }
    const isWrong = decidesWrongly(uniform, errorRate);
    const isUp = current === target ? current === MAX_POSITION : current < target;
    const [relation, change, action] =
      isUp !== isWrong ? ["smaller than", "increase", "+"] : ["larger than", "decrease", "-"];
    const comparison = current === target ? "equal to" : relation;
    if (!this.#writesThoughts) return `{\n "action": "${action}" \n}`;
    const thoughts =
      `The current number is ${current}, which is ${comparison} the target number is ${target}. ` +
      "To move the current number closer to the target, " +
      `I should ${change} the current number by choosing ${action}.`;
    return (
      `{\n "current number": "${current}", \n"target number": "${target}", \n` +
      `"thoughts": "${thoughts}", \n"action": "${action}" \n}`
    );
  }
}
