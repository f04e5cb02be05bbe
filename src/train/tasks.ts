import type { Environment, Expert } from "../../envs/env.js";
import { Blackjack } from "../../envs/gym-cards/blackjack.js";
import { BlackjackExpert } from "../../envs/gym-cards/blackjack-expert.js";
import { EZPoints } from "../../envs/gym-cards/ez-points.js";
import { EZPointsExpert } from "../../envs/gym-cards/ez-points-expert.js";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { NumberLineExpert } from "../../envs/gym-cards/number-line-expert.js";
import { Points24 } from "../../envs/gym-cards/points24.js";
import { Points24Expert } from "../../envs/gym-cards/points24-expert.js";
import { ConfigError, unknownName } from "./config-error.js";

/** Rules of the reference implementation that single environments can follow (docs/paper-mode.md). */
export interface EnvironmentQuirks {
  /** NumberLine: an episode may start at its target. */
  readonly paperReset: boolean;
  /** EZPoints, Points24: formulas are evaluated as Python does. */
  readonly referenceEval: boolean;
  /** Blackjack: the player's fifth card lies outside the frame. */
  readonly hiddenFifthCard: boolean;
}

/** What a configuration says about the environments of its run. Each takes what it knows; all are off by default. */
export interface EnvironmentOptions extends Partial<EnvironmentQuirks> {
  /** Whether prompts ask for a chain of thought before the action. Default true. */
  readonly thoughts?: boolean;
}

/** An environment that runs can be configured for. A run of one's own takes any other object of this type. */
export interface Task<Info = unknown> {
  readonly name: string;
  makeEnvironment(options?: EnvironmentOptions): Environment<Info>;
  /** Writes the demonstrations of supervised fine-tuning; absent where there is none. */
  makeExpert?(options?: EnvironmentOptions): Expert<Info>;
}

const numberLine: Task = {
  name: "number-line",
  makeEnvironment: (options) => new NumberLine(options),
  makeExpert: (options) => new NumberLineExpert(options),
};

const ezPoints: Task = {
  name: "ez-points",
  makeEnvironment: (options) => new EZPoints(options),
  makeExpert: (options) => new EZPointsExpert(options),
};

const points24: Task = {
  name: "points24",
  makeEnvironment: (options) => new Points24(options),
  makeExpert: (options) => new Points24Expert(options),
};

const blackjack: Task = {
  name: "blackjack",
  makeEnvironment: (options) => new Blackjack(options),
  makeExpert: (options) => new BlackjackExpert(options),
};

const tasks: readonly Task[] = [numberLine, ezPoints, points24, blackjack];

/** Names of the tasks that a configuration can ask for. */
export const taskNames: readonly string[] = tasks.map(({ name }) => name);

/** @throws ConfigError for a name that is not in `taskNames` */
export function findTask(name: string): Task {
  const task = tasks.find((candidate) => candidate.name === name);
  if (task === undefined) throw new ConfigError("task", [unknownName("task", name, "a task", taskNames)]);
  return task;
}
