import type { ExpertOptions } from "./expert.js";
import { FormulaExpert } from "./formula-expert.js";
import { points24Solver } from "./formula-solver.js";

/**
 * Writes Points24 responses, e.g. `'8/(' is an incomplete formula, since '8/(3-8/3)=24', I should append '3' ...`. The paper's
 * demonstrations are of solvable hands only; this expert sees every hand and gives up the 27 % that have no solution.
 */
export class Points24Expert extends FormulaExpert {
  constructor(options?: ExpertOptions) {
    super(points24Solver, options);
  }
}
