import type { Environment, Expert } from "../../envs/env.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { NumberLineExpert } from "../../envs/gym-cards/number-line-expert.js";

/** An environment that runs can be configured for. A run of one's own takes any other object of this type. */
export interface Task<Info = unknown> {
  readonly name: string;
  makeEnvironment(): Environment<Info>;
  /** Writes the demonstrations of supervised fine-tuning; absent where there is none. */
  readonly expert?: Expert<Info>;
}

const numberLine: Task = {
  name: "number-line",
  makeEnvironment: () => new NumberLine(),
  expert: new NumberLineExpert(),
};

/** The tasks that a configuration can name. */
export const tasks: Readonly<Record<string, Task>> = { [numberLine.name]: numberLine };
