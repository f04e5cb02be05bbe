import { describe, expect, test } from "vitest";
import { Collector, type CollectorOptions } from "../../src/rollout/collector.js";
import type { PromptQuirks } from "../../src/rollout/environment-loop.js";
import type { Transition } from "../../src/rollout/trajectory.js";
import { PromptReader, PromptWorld, shownState, toldState } from "../fakes/prompt-world.js";

function options(promptQuirks?: Partial<PromptQuirks>): CollectorOptions {
  return {
    environments: [new PromptWorld(), new PromptWorld(), new PromptWorld()],
    policy: new PromptReader(),
    seed: 7,
    sampling: { temperature: 1 },
    maxNewTokens: 4,
    ...(promptQuirks && { promptQuirks: { stalePrompt: false, initialPrompt: false, ...promptQuirks } }),
  };
}

/** The transitions of each environment. */
async function play(of: CollectorOptions, steps = 40): Promise<(readonly Transition[])[]> {
  const { trajectories } = await new Collector(of).collect(steps);
  return trajectories.map(({ transitions }) => transitions);
}

/** Whether the transition is the first of an episode. */
function isFirst(transitions: readonly Transition[], t: number): boolean {
  const before = transitions[t - 1];
  return before === undefined || before.terminated || before.truncated;
}

test("without quirks a prompt tells what its frame shows, and is what updates score", async () => {
  for (const transitions of await play(options())) {
    for (const { prompt, scoredPrompt } of transitions) {
      expect(toldState(prompt)).toEqual(shownState(prompt));
      expect(scoredPrompt).toBe(prompt);
    }
  }
});

describe("stalePrompt", () => {
  test("begins an episode under the text of the end before, and the frame of the new start", async () => {
    let stale = 0;
    for (const transitions of await play(options({ stalePrompt: true }))) {
      transitions.forEach(({ prompt, scoredPrompt }, t) => {
        const isStale = t > 0 && isFirst(transitions, t);
        if (!isStale) expect(toldState(prompt)).toEqual(shownState(prompt));
        else {
          stale += 1;
          const before = transitions[t - 1]!;
          const end = toldState(before.prompt);
          // A line world ends at its target, or after the time for it is over.
          if (before.terminated && t > 1 && !isFirst(transitions, t - 1)) {
            expect(toldState(prompt)).toEqual({ target: end.target, current: end.target });
          }
          expect(shownState(prompt).current).not.toBe(shownState(prompt).target);
        }
        expect(scoredPrompt).toBe(prompt);
      });
    }
    expect(stale).toBeGreaterThan(10);
  });

  test("does not change what environments do for the same actions", async () => {
    const [plain, stale] = [await play(options(), 1), await play(options({ stalePrompt: true }), 1)];
    expect(stale).toEqual(plain);
  });

  test("survives a restart between two episodes and within one", async () => {
    const quirks = { stalePrompt: true };
    let between = 0;
    for (let steps = 1; steps < 12; steps++) {
      const original = new Collector(options(quirks));
      await original.collect(steps);
      const state = JSON.parse(JSON.stringify(original.state()));
      between += state.filter(({ actions }: { actions: number[] }) => actions.length === 0).length;
      const restored = await Collector.restore(options(quirks), state);
      expect(restored.state()).toEqual(original.state());
      expect(await restored.collect(15)).toEqual(await original.collect(15));
    }
    expect(between).toBeGreaterThan(0);
  });

  test("leaves no trace in the state without it", async () => {
    const collector = new Collector(options());
    await collector.collect(20);
    for (const state of collector.state()) expect(Object.keys(state)).toEqual(["episode", "actions"]);
  });
});

describe("initialPrompt", () => {
  test("has updates score every response under the environment's first text and the step's own image", async () => {
    const played = await play(options({ initialPrompt: true }));
    expect(played.map((transitions) => transitions.map(({ prompt }) => prompt))).toEqual(
      (await play(options())).map((transitions) => transitions.map(({ prompt }) => prompt)),
    );
    let other = 0;
    for (const transitions of played) {
      const initial = toldState(transitions[0]!.prompt);
      for (const { prompt, scoredPrompt } of transitions) {
        expect(toldState(scoredPrompt)).toEqual(initial);
        expect(scoredPrompt.images).toBe(prompt.images);
        if (scoredPrompt !== prompt) other += 1;
        else expect(toldState(prompt)).toEqual(initial);
      }
    }
    expect(other).toBeGreaterThan(50);
  });

  test("takes the value after the last step under that text", async () => {
    class Valuing extends PromptReader {
      override async respond(...args: Parameters<PromptReader["respond"]>) {
        return { ...(await super.respond(...args)), value: 1 + args[0].tokens[0]! };
      }
    }
    const collect = async (quirks?: Partial<PromptQuirks>) => {
      const played = await play({ ...options(quirks), policy: new Valuing() }, 11);
      return played.map((transitions) => ({
        first: 1 + transitions[0]!.prompt.tokens[0]!,
        bootstrap: transitions.at(-1)!.bootstrapValue,
      }));
    };
    const bootstraps = await collect({ initialPrompt: true });
    for (const { first, bootstrap } of bootstraps) if (bootstrap !== 0) expect(bootstrap).toBe(first);
    expect(bootstraps.some(({ bootstrap }) => bootstrap !== 0)).toBe(true);
    expect((await collect()).some(({ first, bootstrap }) => bootstrap !== 0 && bootstrap !== first)).toBe(
      true,
    );
  });

  test("is the first text of the run after a restart, too", async () => {
    const both = { stalePrompt: true, initialPrompt: true };
    for (const steps of [1, 4, 9, 23]) {
      const original = new Collector(options(both));
      await original.collect(steps);
      const state = JSON.parse(JSON.stringify(original.state()));
      const restored = await Collector.restore(options(both), state);
      expect(await restored.collect(15)).toEqual(await original.collect(15));
    }
  });
});
