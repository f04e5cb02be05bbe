/**
 * The environment contract: Gymnasium's step semantics (reset with a seed, termination and truncation
 * apart) for environments that a vision-language model plays through an image and a prompt.
 */

/**
 * An RGB image: `data` holds `height * width * 3` bytes, row by row from the top left. A frame that an environment returns is the
 * caller's: the environment neither changes nor reads it later, unless the caller gives it back (`recycle`).
 */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** What the model may do: `labels[i]` is the text of action `i`. */
export interface ActionSpace {
  readonly labels: readonly string[];
}

/** The start of an episode. The frame may be drawn when it is first read; whenever that is, it shows the start. */
export interface ResetResult<Info> {
  readonly frame: Frame;
  readonly info: Info;
}

/** One step of an episode. */
export interface StepResult<Info> {
  /** What is seen after the action. May be drawn when it is first read; whenever that is, it shows this state. */
  readonly frame: Frame;
  readonly reward: number;
  /** The task itself ended (goal reached, game lost): the value of the next state is zero. */
  readonly terminated: boolean;
  /** The episode was cut off (time limit): the next state still has a value. */
  readonly truncated: boolean;
  readonly info: Info;
}

/** A finished episode as its environment judges it. */
export interface EpisodeOutcome<Info> {
  /** Undiscounted sum of rewards. */
  readonly return: number;
  readonly steps: number;
  readonly terminated: boolean;
  readonly lastInfo: Info;
}

/**
 * One environment, played by one caller at a time. Everything random in an episode follows from the seed
 * given to `reset`; `step` is deterministic, so an episode can be replayed from its seed and its actions.
 *
 * @typeParam Info the state that prompts, experts and metrics may look at (never the policy)
 */
export interface Environment<Info = unknown> {
  /** Task name with version, e.g. `gym-cards/number-line-v1`. */
  readonly id: string;
  readonly actionSpace: ActionSpace;

  /** Starts an episode. @param seed an unsigned 32-bit integer that fixes the whole episode */
  reset(seed: number): ResetResult<Info> | Promise<ResetResult<Info>>;
  /**
   * Plays one action.
   * @param action index into `actionSpace.labels`
   * @throws RangeError for an action outside the space, Error for a step before `reset` or after the end
   */
  step(action: number): StepResult<Info> | Promise<StepResult<Info>>;
  /**
   * Takes back a frame of this environment that nobody looks at any more: a later frame may have its memory. For callers who want
   * many frames in little time; one that is never given back is collected as any other object. Frames of other origin are left alone,
   * so that an environment around this one may replace them.
   */
  recycle?(frame: Frame): void;
  /** Releases what the environment holds. */
  close?(): void;

  /** The text part of the observation: v_in = h(o, info) of the paper. */
  prompt(info: Info): string;
  /**
   * The action that a response names: f(v_out) of the paper.
   * @returns the action's index, or `undefined` where the text names none; the caller then draws one
   *   uniformly (equation 4.1)
   */
  parseAction(response: string, info: Info): number | undefined;
  /** Whether the episode counts as solved. */
  isSuccess(outcome: EpisodeOutcome<Info>): boolean;

  /** The actions that a perfect player would choose from; absent where nobody knows. For metrics only. */
  optimalActions?(info: Info): readonly number[];
  /** Whether the response states what the image shows; absent where that cannot be told. For metrics only. */
  readsState?(response: string, info: Info): boolean;
  /**
   * Whether the rules of the game allow an action, which `step` takes in any case; absent where they allow every one. For metrics
   * only.
   */
  isLegal?(action: number, info: Info): boolean;
  /** Why an episode that does not count as solved failed: one of a few short phrases. For metrics only. */
  failureOf?(outcome: EpisodeOutcome<Info>): string;
}

/** Writes the responses that supervised fine-tuning imitates. */
export interface Expert<Info = unknown> {
  /**
   * @param info the true state
   * @param uniform source of numbers in [0, 1)
   * @param errorRate probability in [0, 1] that the decision (thought and action alike) is wrong
   */
  respond(info: Info, uniform: () => number, errorRate: number): string;
}
