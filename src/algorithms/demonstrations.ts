/**
 * Demonstrations: what an expert answers in states of an environment.
 *
 * Which states those are decides what imitation can learn. An expert's own episodes show only what a perfect player sees, and
 * a learner that errs once is then where it was never taught. Hence both ways of reaching states below mix the expert's right
 * actions with uniformly random ones: the mixture of expert and other play from which DAgger starts (Ross, Gordon and Bagnell,
 * AISTATS 2011, arXiv 1011.0686, section 3), with the uniform policy in the place of a learner that does not exist yet. In a
 * game that forgives, as NumberLine, random actions alone cover all states; a formula is ruined by most of them, so that the
 * expert must play most of the way. Walks of up to one action less than the longest episode reach every decision.
 *
 * What is demonstrated and what is played are apart: an expert's error rate makes some demonstrations wrong, and never changes
 * which states are shown.
 */
import type { Environment, Expert, Frame } from "../../envs/env.js";
import { deriveKey, Random, stream } from "../random.js";
import * as check from "./config-check.js";

/** One observation and the response to imitate. */
export interface Demonstration {
  readonly frame: Frame;
  /** Text part of the observation. */
  readonly prompt: string;
  readonly response: string;
}

/** Where supervised fine-tuning takes its demonstrations from. */
export interface DemonstrationSource {
  /**
   * The demonstrations of one optimizer step: a pure function of step and count, so that a run can be resumed anywhere.
   *
   * @param step counts from 1
   * @param count how many, >= 1
   */
  batch(step: number, count: number): Promise<readonly Demonstration[]>;
}

/** Who demonstrates, and where. */
export interface DemonstratorOptions<Info> {
  /** Played by nobody else meanwhile. */
  readonly environment: Environment<Info>;
  readonly expert: Expert<Info>;
  /** Unsigned 32-bit integer that fixes everything random. */
  readonly seed: number;
}

/** What is demonstrated, on states that a walk into an episode reaches. */
export interface ExpertWalk {
  /** Probability that a demonstration's decision is wrong, thought and action alike, in [0, 1]. */
  errorRate: number;
  /** Most actions before a demonstration, >= 0; their number is uniform from 0 to this. */
  maxRandomSteps: number;
  /** Probability that an action before a demonstration is uniformly random and not the expert's right one, in [0, 1]. */
  randomActionRate: number;
}

/** Demonstrations made as they are needed, each on an episode of its own, so that nothing repeats by design. */
export class ExpertDemonstrations<Info> implements DemonstrationSource {
  readonly #options: DemonstratorOptions<Info>;
  readonly #walk: ExpertWalk;

  /** @throws AlgorithmError `INVALID_CONFIG` for a setting of the walk out of range */
  constructor(options: DemonstratorOptions<Info>, walk: ExpertWalk) {
    check.checkConfig("sft", walk, {
      errorRate: check.fraction,
      maxRandomSteps: check.nonNegativeInteger,
      randomActionRate: check.fraction,
    });
    this.#options = options;
    this.#walk = walk;
  }

  async batch(step: number, count: number): Promise<Demonstration[]> {
    const { environment, expert, seed } = this.#options;
    const demonstrations: Demonstration[] = [];
    for (let i = 0; i < count; i++) {
      const random = new Random(deriveKey(seed, stream.expert, step, i));
      const { frame, info } = await this.#walkInto(random);
      const response = expert.respond(info, () => random.uniform(), this.#walk.errorRate);
      demonstrations.push({ frame, prompt: environment.prompt(info), response });
    }
    return demonstrations;
  }

  /** Walks into an episode, never past its last decision. */
  async #walkInto(random: Random): Promise<{ frame: Frame; info: Info }> {
    const { environment, expert } = this.#options;
    const { maxRandomSteps, randomActionRate } = this.#walk;
    let state = await environment.reset(random.uint32());
    for (let remaining = random.integer(maxRandomSteps + 1); remaining > 0; remaining--) {
      const next = await environment.step(
        mixedAction(environment, expert, state.info, randomActionRate, random),
      );
      // Nothing is left to decide at the end of an episode: the state before it is the one to show.
      if (next.terminated || next.truncated) break;
      state = next;
    }
    return state;
  }
}

/** One decision of a demonstrated episode. */
export interface EpisodeDemonstration extends Demonstration {
  /** Counts from 0. */
  readonly episode: number;
  /** Decision of the episode, counts from 0. */
  readonly step: number;
}

/**
 * Plays whole episodes without end and demonstrates each of their decisions. Episode e depends on the seed and e alone.
 *
 * @throws AlgorithmError `INVALID_CONFIG` for a rate outside [0, 1]
 */
export async function* demonstratedEpisodes<Info>(
  { environment, expert, seed }: DemonstratorOptions<Info>,
  rates: Omit<ExpertWalk, "maxRandomSteps">,
): AsyncGenerator<EpisodeDemonstration, never> {
  check.checkConfig("demonstrations", rates, { errorRate: check.fraction, randomActionRate: check.fraction });
  for (let episode = 0; ; episode++) {
    const playing = new Random(deriveKey(seed, stream.demonstratedEpisode, episode, 0));
    const writing = new Random(deriveKey(seed, stream.demonstratedEpisode, episode, 1));
    let { frame, info } = await environment.reset(playing.uint32());
    for (let step = 0; ; step++) {
      const response = expert.respond(info, () => writing.uniform(), rates.errorRate);
      yield { episode, step, frame, prompt: environment.prompt(info), response };
      const action = mixedAction(environment, expert, info, rates.randomActionRate, playing);
      const { terminated, truncated, ...next } = await environment.step(action);
      if (terminated || truncated) break;
      ({ frame, info } = next);
    }
  }
}

/** A uniformly random action with probability `randomActionRate`, else the one that the expert's right response names. */
function mixedAction<Info>(
  environment: Environment<Info>,
  expert: Expert<Info>,
  info: Info,
  randomActionRate: number,
  random: Random,
): number {
  const actions = environment.actionSpace.labels.length;
  // At rate 1 nothing is drawn to decide it.
  if (randomActionRate === 1 || random.uniform() < randomActionRate) return random.integer(actions);
  const response = expert.respond(info, () => random.uniform(), 0);
  return environment.parseAction(response, info) ?? random.integer(actions);
}
