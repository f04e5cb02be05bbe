import type { ExpertOptions } from "./expert.js";
import { FormulaExpert } from "./formula-expert.js";
import { ezPointsSolver } from "./formula-solver.js";

/** Writes EZPoints responses, e.g. `'5' is an incomplete formula, since '5+7=12', I should append '+' ...`. */
export class EZPointsExpert extends FormulaExpert {
  constructor(options?: ExpertOptions) {
    super(ezPointsSolver, options);
  }
}
