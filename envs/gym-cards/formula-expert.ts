import type { Expert } from "../env.js";
import { decidesWrongly, type ExpertOptions } from "./expert.js";
import { unusedNumbers } from "./formula.js";
import type { FormulaInfo } from "./formula-game.js";
import type { FormulaSolver } from "./formula-solver.js";

/** What a response claims and does. */
interface Decision {
  readonly thoughts: string;
  readonly action: string;
}

/**
 * Writes responses for EZPoints and Points24 in the wording of the paper's solver (Zhai et al. 2024, arXiv 2405.10292,
 * appendix D): JSON with the keys "cards" (values in the order of the image, faces as 10), "current formula", "thoughts" and
 * "action", laid out as the prompt's example. The key is the prompt's "current formula", where the paper's own data says
 * "formula", and its value is a string, so that the response is the valid JSON which the prompt asks for.
 *
 * The right decision is the next token of the shortest formula that reaches the target. One that cannot reach it any more,
 * or a hand that never could, is given up with "=", which costs 1 at once as every other end would later.
 *
 * A wrong decision reads cards and formula correctly and is drawn uniformly from the numbers of the hand, the symbols and "=",
 * without those that lead to the target (or without "=" where nothing does). Its thought claims what would justify it, as
 * somebody would who is wrong about the sum: that the token, with the numbers still unused added up after it, makes the
 * target, or that the formula is complete.
 */
export class FormulaExpert implements Expert<FormulaInfo> {
  readonly #solver: FormulaSolver;
  readonly #writesThoughts: boolean;

  constructor(solver: FormulaSolver, { thoughts = true }: ExpertOptions = {}) {
    this.#solver = solver;
    this.#writesThoughts = thoughts;
  }

  /**
   * Takes one number from `uniform`, and another for a wrong decision.
   *
   * @throws RangeError for an error rate outside [0, 1]
   */
  respond(info: FormulaInfo, uniform: () => number, errorRate: number): string {
    const isWrong = decidesWrongly(uniform, errorRate);
    const { thoughts, action } = isWrong ? this.#wrongDecision(info, uniform()) : this.#rightDecision(info);
    if (!this.#writesThoughts) return `{\n"action": "${action}" \n}`;
    return (
      `{\n "cards": [${info.numbers.join(", ")}], \n"current formula": "${info.formula.join("")}", \n` +
      `"thoughts": "${thoughts}", \n"action": "${action}" \n}`
    );
  }

  #rightDecision({ numbers, formula }: FormulaInfo): Decision {
    const plan = this.#solver.plan(numbers, formula);
    if (plan === undefined) {
      const { target } = this.#solver.rules;
      return { thoughts: `'${formula.join("")}' cannot equal ${target}, I should output '='`, action: "=" };
    }
    const [next] = plan;
    return next === undefined ? this.#finish(formula) : this.#append(formula, next, [...formula, ...plan]);
  }

  /** @param drawn a number in [0, 1) that chooses among the wrong tokens */
  #wrongDecision({ numbers, formula }: FormulaInfo, drawn: number): Decision {
    const right = this.#solver.bestTokens(numbers, formula);
    const candidates = [...new Set([...numbers.map(String), ...this.#solver.rules.symbols, "="])];
    const wrong = candidates.filter((token) => !right.includes(token));
    const action = wrong[Math.floor(drawn * wrong.length)]!;
    if (action === "=") return this.#finish(formula);
    const unused = unusedNumbers(numbers, [...formula, action]);
    const endsOperand = action === ")" || numbers.includes(Number(action));
    // An operator wants something after it, be it a number that was used before.
    const following = endsOperand || unused.length > 0 ? unused : [numbers[0]!];
    const separator = endsOperand && following.length > 0 ? "+" : "";
    return this.#append(formula, action, [...formula, action, separator, following.join("+")]);
  }

  #append(formula: readonly string[], token: string, claimed: readonly string[]): Decision {
    const { target } = this.#solver.rules;
    return {
      thoughts:
        `'${formula.join("")}' is an incomplete formula, since '${claimed.join("")}=${target}', ` +
        `I should append '${token}' to the current formula`,
      action: token,
    };
  }

  #finish(formula: readonly string[]): Decision {
    const text = formula.join("");
    const { target } = this.#solver.rules;
    return {
      thoughts: `'${text}' is a complete formula, since '${text}=${target}', I should output '='`,
      action: "=",
    };
  }
}
