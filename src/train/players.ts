/** Who plays an evaluation: a policy, or one of the references that need no model. */
import type { Environment, Expert, Frame } from "../../envs/env.js";
import type { RandomKey, SamplingSettings } from "../native/types.js";
import type { Policy } from "../policy/policy.js";
import { Random, stream } from "../random.js";

/** What a player sees before one decision, and the random numbers it may use for it. */
export interface Observation<Info = unknown> {
  readonly environment: Environment<Info>;
  /** May be drawn when it is first read. */
  readonly frame: Frame;
  readonly info: Info;
  readonly prompt: string;
  /** Key for one purpose of `stream`; a pure function of panel seed, episode and step. */
  readonly randomKey: (purpose: number) => RandomKey;
}

export interface Decision {
  /** Index into the action labels; undefined where the response names no action. */
  readonly action: number | undefined;
  /** What the player wrote; absent for players without words. */
  readonly text?: string;
}

/** Chooses an action for an observation. */
export type Player<Info = unknown> = (
  observation: Observation<Info>,
  signal?: AbortSignal,
) => Promise<Decision> | Decision;

export interface PolicyPlayerOptions {
  readonly sampling: SamplingSettings;
  /** >= 1, in tokens. */
  readonly maxNewTokens: number;
}

/** Plays what the policy writes. */
export function policyPlayer<Info>(policy: Policy, options: PolicyPlayerOptions): Player<Info> {
  return async ({ environment, frame, info, prompt, randomKey }, signal) => {
    const response = await policy.respond(
      policy.encode(frame, prompt),
      {
        sampling: options.sampling,
        randomKey: randomKey(stream.sampling),
        maxNewTokens: options.maxNewTokens,
      },
      signal,
    );
    return { action: environment.parseAction(response.text, info), text: response.text };
  };
}

/** Plays every action with the same probability. */
export function randomPlayer<Info>(): Player<Info> {
  return ({ environment, randomKey }) => ({
    action: new Random(randomKey(stream.sampling)).integer(environment.actionSpace.labels.length),
  });
}

/** Plays the action that the expert's response names, where it makes no errors on purpose. */
export function expertPlayer<Info>(expert: Expert<Info>): Player<Info> {
  return ({ environment, info, randomKey }) => {
    const random = new Random(randomKey(stream.expert));
    const text = expert.respond(info, () => random.uniform(), 0);
    return { action: environment.parseAction(text, info), text };
  };
}

/**
 * Plays one of the optimal actions, each with the same probability. For environments with
 * `optimalActions`; a state without an optimal action is a RangeError.
 */
export function optimalPlayer<Info>(): Player<Info> {
  return ({ environment, info, randomKey }) => ({
    action: new Random(randomKey(stream.sampling)).pick(environment.optimalActions?.(info) ?? []),
  });
}
