import { setMaxListeners } from "node:events";
import type { Environment } from "../../envs/env.js";
import { EnvironmentLoop, type LoopOptions, type Play } from "./environment-loop.js";
import type { EnvironmentState, Rollout } from "./trajectory.js";

export interface CollectorOptions extends LoopOptions {
  /** The collector is their only caller. The index of an environment is part of its random keys. */
  readonly environments: readonly Environment[];
}

/**
 * Collects rollouts from many environments at once. Each environment is a loop of its own, with no barrier
 * between them: while one steps or waits, the policy answers the others, batching whatever has arrived. The
 * result is nevertheless a function of the options alone, because every random key names environment, episode
 * and step instead of an order of arrival.
 *
 * Episodes roll over the ends of rollouts: an environment goes on where the last rollout left it.
 */
export class Collector {
  readonly #loops: readonly EnvironmentLoop[];
  /** Whether a `collect` is running, or has failed and left the environments at different steps. */
  #isUnsettled = false;

  constructor({ environments, ...options }: CollectorOptions) {
    this.#loops = environments.map((environment, index) => new EnvironmentLoop(environment, index, options));
  }

  /**
   * A collector whose environments stand where those of another one stood, by replaying the actions of each
   * running episode.
   *
   * @param states (environments) what `state` returned
   * @throws RangeError for another number of states, EnvironmentError where an episode does not replay
   */
  static async restore(options: CollectorOptions, states: readonly EnvironmentState[]): Promise<Collector> {
    const collector = new Collector(options);
    const loops = collector.#loops;
    if (states.length !== loops.length) {
      throw new RangeError(
        `states: expected ${loops.length}, one per environment, received ${states.length}; ` +
          "resume with the number of environments that the run was started with",
      );
    }
    await settleAll(loops.map((loop, index) => loop.restore(states[index]!)));
    return collector;
  }

  /**
   * Plays every environment for the same number of steps.
   *
   * After a rejection all loops have stopped, each somewhere else; to go on, restore a collector from the
   * last `state`.
   *
   * @param stepsPerEnvironment integer >= 1
   * @param signal stops all environments; the promise then rejects with the signal's reason
   * @throws EnvironmentError where an environment fails, and whatever the policy throws; the first failure
   *   stops the other environments
   */
  async collect(stepsPerEnvironment: number, signal?: AbortSignal): Promise<Rollout> {
    if (this.#isUnsettled) {
      throw new Error("collect: a collect is running or has failed; await it, or restore a new collector");
    }
    this.#isUnsettled = true;
    const failure = new AbortController();
    const stop = AbortSignal.any([failure.signal, ...(signal ? [signal] : [])]);
    // Each environment may listen at once, which is no leak, however many there are.
    setMaxListeners(0, stop);
    const plays = await settleAll(
      this.#loops.map(async (loop) => {
        try {
          return await loop.play(stepsPerEnvironment, stop);
        } catch (error) {
          failure.abort(error);
          throw error;
        }
      }),
    ).catch(() => {
      // Every loop may reject, most of them because the first one did: its reason is the one to report.
      throw stop.reason;
    });
    this.#isUnsettled = false;
    return toRollout(plays);
  }

  /** Where each environment stands, in order. Call it between two rollouts. */
  state(): EnvironmentState[] {
    return this.#loops.map((loop) => loop.state());
  }
}

function toRollout(plays: readonly Play[]): Rollout {
  return {
    trajectories: plays.map(({ transitions }, environment) => ({ environment, transitions })),
    episodes: plays.flatMap(({ episodes }) => episodes),
  };
}

/** Like `Promise.all`, but a rejection waits until nothing is running any more. */
async function settleAll<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
