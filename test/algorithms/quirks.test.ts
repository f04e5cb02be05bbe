import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type PpoConfig, type PpoOptions, type PpoUpdate, ppo } from "../../src/algorithms/ppo.js";
import { noQuirks, type PpoQuirks } from "../../src/algorithms/quirks.js";
import { roundToBfloat16 } from "../../src/rl/bfloat16.js";
import type { Transition } from "../../src/rollout/trajectory.js";
import { PromptReader, PromptWorld, toldState } from "../fakes/prompt-world.js";
import { RecordingPolicy } from "../fakes/recording-policy.js";
import { options, run } from "./ppo-run.js";

const mismatchKey = "rollout/log_prob_mismatch_max";

/** One update in one minibatch, whose gradients are those of the first forward. */
const once: Partial<PpoConfig> = { updates: 1, epochs: 1, minibatchSize: 256, advantageStdFloor: 0 };

/** Everything off but these. */
function quirks(on: Partial<PpoQuirks>): PpoQuirks {
  return { ...noQuirks, ...on };
}

/** A begin token in whose context responses are unlikely: not the one that sampling starts from. */
class BeginningPolicy extends RecordingPolicy {
  readonly beginToken = 4;
}

function transitionsOf({ rollout }: PpoUpdate): Transition[] {
  return rollout.trajectories.flatMap(({ transitions }) => transitions);
}

/** The gradient of each scored response's log-probs, by the response's transition. */
function gradients(
  policy: RecordingPolicy,
  update: PpoUpdate,
): { transition: Transition; gradient: number[] }[] {
  const { sequences, scores, gradient } = policy.calls[0]!;
  const transitions = transitionsOf(update);
  return sequences.map(({ response }, b) => {
    const own = gradient.logProbs.subarray(scores.offsets[b]!, scores.offsets[b + 1]!);
    const transition =
      transitions.find(({ response: { tokens } }) => tokens === response) ??
      transitions.find(({ response: { tokens } }) => response.subarray(1).join() === tokens.join())!;
    // A loss of zero may come with either sign.
    return { transition, gradient: [...own].map((g) => g + 0) };
  });
}

describe("without quirks", () => {
  test("a run is the one that names none", async () => {
    expect(await run(options({ quirks: noQuirks }, { updates: 3 }))).toEqual(
      await run(options({}, { updates: 3 })),
    );
  });
});

describe("lastFiveTokens", () => {
  test("trains three tokens as nothing and four as thought alone, whatever they say", async () => {
    const policy = new RecordingPolicy();
    const [update] = await run(options({ policy, quirks: quirks({ lastFiveTokens: true }) }, once));
    for (const { transition, gradient } of gradients(policy, update!)) {
      const { length } = transition.response.tokens;
      if (length < 4) expect(gradient.every((g) => g === 0)).toBe(true);
      else expect(new Set(gradient).size).toBe(1);
    }
    // Of the shortest responses log π is a constant: their ratio is 1.
    expect(update!.metrics["ppo/ratio_max"]).toBe(1);
  });

  test("gives the last five tokens weight 1 and those before λ", async () => {
    const policy = new RecordingPolicy();
    const long = { ...once, maxNewTokens: 9, temperature: 8 };
    const [update] = await run(options({ policy, quirks: quirks({ lastFiveTokens: true }) }, long));
    const both = gradients(policy, update!).filter(({ gradient }) => gradient.length > 5);
    expect(both.length).toBeGreaterThan(10);
    for (const { gradient } of both) {
      const weight = gradient.at(-1)!;
      const expected = gradient.map((_, t) => (t < gradient.length - 5 ? 0.5 * weight : weight));
      expect(gradient).toEqual(expected.map((g) => expect.closeTo(g, 8)));
    }
  });
});

describe("dropFirstToken", () => {
  test("leaves the first token without a gradient, and changes no other", async () => {
    const [plain, dropped] = [new RecordingPolicy(), new RecordingPolicy()];
    const [expected] = await run(options({ policy: plain }, once));
    const [update] = await run(options({ policy: dropped, quirks: quirks({ dropFirstToken: true }) }, once));
    const before = gradients(plain, expected!);
    let compared = 0;
    gradients(dropped, update!).forEach(({ transition, gradient }, b) => {
      const beginsWithAction = /^"action"/.test(transition.response.text);
      if (beginsWithAction) {
        expect(gradient).toEqual(before[b]!.gradient);
      } else {
        compared += 1;
        expect(gradient).toEqual([0, ...before[b]!.gradient.slice(1)]);
      }
    });
    expect(compared).toBeGreaterThan(100);
  });
});

describe("insertBeginToken", () => {
  test("scores responses after the token, with old log-probs from such a scoring", async () => {
    const policy = new BeginningPolicy();
    const [update] = await run(options({ policy, quirks: quirks({ insertBeginToken: true }) }, once));
    for (const { response } of policy.calls[0]!.sequences) expect(response[0]).toBe(4);
    for (const { gradient } of gradients(policy, update!)) expect(gradient[0]).toBe(0);

    // The two sides of the ratio agree, though neither agrees with what the tokens were sampled with.
    expect(update!.metrics).toMatchObject({ "ppo/ratio_max": 1, "ppo/kl": 0, [mismatchKey]: 0 });
    const { scores, sequences } = policy.calls[0]!;
    const transitions = transitionsOf(update!);
    const gap = sequences.map(({ response }, b) => {
      const first = scores.logProbs[scores.offsets[b]! + 1]!;
      const sampled = transitions.find(
        ({ response: { tokens } }) => tokens.join() === response.subarray(1).join(),
      )!;
      return Math.abs(first - sampled.response.logProbs[0]!);
    });
    expect(Math.min(...gap)).toBeGreaterThan(0.5);
  });

  test("still holds the first forward against the scoring pass", async () => {
    class Drifting extends BeginningPolicy {
      override async score(...args: Parameters<RecordingPolicy["score"]>) {
        const scores = await super.score(...args);
        if (args[1]?.keepTape !== false) scores.logProbs[2]! += 0.5;
        return scores;
      }
    }
    const of = options({ policy: new Drifting(), quirks: quirks({ insertBeginToken: true }) }, once);
    await expect(run(of)).rejects.toMatchObject({ code: "LOG_PROB_MISMATCH" });
  });

  test("scores before the update in parts of a minibatch", async () => {
    const sizes: number[] = [];
    class Counting extends BeginningPolicy {
      override score(...args: Parameters<RecordingPolicy["score"]>) {
        if (args[1]?.keepTape === false) sizes.push(args[0].length);
        return super.score(...args);
      }
    }
    const inserted = quirks({ insertBeginToken: true });
    const of = (microbatchSize: number) =>
      run(options({ policy: new Counting(), quirks: inserted }, { ...once, microbatchSize }));
    expect(await of(100)).toEqual(await of(256));
    expect(sizes).toEqual([100, 100, 56, 256]);
  });

  test("is refused for a vocabulary without one", async () => {
    const of = options({ quirks: quirks({ insertBeginToken: true }) });
    await expect(run(of)).rejects.toMatchObject({
      code: "INVALID_CONFIG",
      message: expect.stringContaining("quirks.insertBeginToken: expected false"),
    });
  });
});

describe("bfloat16LogProbs", () => {
  test("rounds both sides of the ratio", async () => {
    const policy = new RecordingPolicy();
    const rounded = quirks({ bfloat16LogProbs: true });
    const [update] = await run(options({ policy, quirks: rounded }, { updates: 1, epochs: 3 }));
    const ratios = (await ratiosOf(policy, update!)).filter((ratio) => ratio !== 1);
    expect(ratios.length).toBeGreaterThan(100);
    // Log-probs of these responses lie above -4: their differences are multiples of 2^-16 or far fewer.
    for (const ratio of ratios) expect(Math.log(ratio)).toBeCloseTo(roundTo(Math.log(ratio), 2 ** -16), 9);
    expect(update!.metrics["ppo/ratio_max"]).toBeCloseTo(Math.max(...ratios, 1), 12);

    const exact = new RecordingPolicy();
    const [plain] = await run(options({ policy: exact }, { updates: 1, epochs: 3 }));
    const differ = plain!.metrics["ppo/ratio_max"] !== update!.metrics["ppo/ratio_max"];
    expect(differ).toBe(true);
  });

  /** Ratios of all samples in all epochs, by the definition of the rounding. */
  async function ratiosOf(policy: RecordingPolicy, update: PpoUpdate): Promise<number[]> {
    const b = roundToBfloat16;
    const total = (logProbs: Float32Array, cut: number) => {
      const sum = (part: Float32Array) => b(part.reduce((all, logProb) => all + b(logProb), 0));
      return b(b(0.5 * sum(logProbs.subarray(0, cut))) + sum(logProbs.subarray(cut)));
    };
    const transitions = transitionsOf(update);
    return policy.calls.flatMap(({ sequences, scores }) =>
      sequences.map(({ response }, i) => {
        const { logProbs } = transitions.find(({ response: { tokens } }) => tokens === response)!.response;
        const action = response.findLastIndex((token) => token >= 3);
        const cut = action < 0 ? response.length : action;
        const scored = scores.logProbs.subarray(scores.offsets[i]!, scores.offsets[i + 1]!);
        return Math.exp(total(scored, cut) - total(logProbs, cut));
      }),
    );
  }

  function roundTo(x: number, unit: number): number {
    return Math.round(x / unit) * unit;
  }
});

describe("initialPrompt", () => {
  const environments = Array.from({ length: 4 }, () => new PromptWorld());

  test("scores updates under the first text, so that ratios start off 1", async () => {
    const policy = new PromptReader();
    const changes = { ...once, learningRate: 1, updates: 2, stepsPerEnvironment: 16, minibatchSize: 64 };
    const of = options({ policy, environments, quirks: quirks({ initialPrompt: true }) }, changes);
    const updates = await run(of);
    const initial = updates[0]!.rollout.trajectories.map(
      ({ transitions }) => transitions[0]!.prompt.tokens[0]!,
    );
    for (const { sequences } of policy.calls) {
      for (const { prompt } of sequences) expect(initial).toContain(prompt.tokens[0]);
    }
    // The weights that the first update left differ from text to text.
    expect(updates[1]!.metrics["ppo/ratio_max"]).not.toBe(1);
    // Samples whose own text is the first one still have to agree to the bit.
    expect(updates[1]!.metrics[mismatchKey]).toBe(0);
    const plain = await run(options({ policy: new PromptReader(), environments }, changes));
    expect(plain[1]!.metrics["ppo/ratio_max"]).toBe(1);
  });

  test("leaves nothing to compare where no sample has the first text", async () => {
    const policy = new PromptReader();
    const of = options(
      { policy, environments, quirks: quirks({ initialPrompt: true }) },
      { ...once, updates: 8, stepsPerEnvironment: 1, minibatchSize: 4 },
    );
    const updates = await run(of);
    const without = updates.filter(({ rollout }) =>
      rollout.trajectories.every(({ transitions }) =>
        transitions.every(
          ({ prompt, scoredPrompt }) =>
            toldState(prompt) !== toldState(scoredPrompt) && prompt !== scoredPrompt,
        ),
      ),
    );
    expect(without.length).toBeGreaterThan(0);
    for (const { metrics } of without) expect(metrics).not.toHaveProperty([mismatchKey]);
  });
});

describe("terminalTimeouts", () => {
  test("takes the value after a truncation to be zero", async () => {
    class Optimist extends RecordingPolicy {
      override async respond(...args: Parameters<RecordingPolicy["respond"]>) {
        return { ...(await super.respond(...args)), value: 100 };
      }
    }
    const explained = async (terminalTimeouts: boolean) => {
      const of = options(
        { policy: new Optimist(), quirks: quirks({ terminalTimeouts }) },
        { ...once, gaeLambda: 0 },
      );
      const [update] = await run(of);
      return update!.metrics["ppo/value_loss"]!;
    };
    // The critic says 0 in the update: half the squared returns, which the values of cut-off states enter.
    expect(await explained(true)).toBeLessThan(await explained(false));
  });
});

describe("learningRateCycle", () => {
  test("turns the rate with the updates, and back", async () => {
    const policy = new RecordingPolicy();
    const cycle = quirks({ learningRateCycle: { halfPeriod: 2, stepsPerUpdate: 1 } });
    const of = options({ policy, quirks: cycle }, { ...once, updates: 5, valueLearningRate: 0.2 });
    const updates = await run(of);
    const expected = [0.1, 0.055, 0.01, 0.055, 0.1];
    expect(updates.map(({ metrics }) => metrics["ppo/learning_rate"])).toEqual(
      expected.map((rate) => expect.closeTo(rate, 12)),
    );
    const rates = policy.steps.map(({ groups }) => groups.map(({ learningRate }) => learningRate));
    expect(rates).toEqual(expected.map((rate) => [expect.closeTo(rate, 12), expect.closeTo(2 * rate, 12)]));
    const twice = quirks({ learningRateCycle: { halfPeriod: 2, stepsPerUpdate: 2 } });
    const [, second] = await run(options({ quirks: twice }, { ...once, updates: 2 }));
    expect(second!.metrics["ppo/learning_rate"]).toBeCloseTo(0.01, 12);
  });
});

describe("settings that paper mode changes", () => {
  test("no limit on gradient norms means no limit", async () => {
    const policy = new RecordingPolicy();
    const free = { ...once, maxGradientNorm: null, valueMaxGradientNorm: null };
    await run(options({ policy }, free));
    for (const group of policy.steps[0]!.groups) expect(group).not.toHaveProperty("maxGradientNorm");
  });

  test("null bounds nothing: neither ratio nor value", async () => {
    const nulls = await run(options({}, { updates: 2, dualClip: null, valueClipRange: null }));
    expect(nulls).toEqual(await run(options({}, { updates: 2, dualClip: undefined })));
  });

  test("the trailing window is a metric that survives a restart", async () => {
    // Wider than all updates fill, so that every episode before the restart counts.
    const changes = { updates: 4, successWindow: 5000 };
    const uninterrupted = options({}, changes);
    const expected = await run(uninterrupted);
    const folder = await mkdtemp(join(tmpdir(), "window-"));
    const model = join(folder, "model.json");
    const first = options({}, changes);
    let saved = "";
    for await (const { update, state } of ppo(first)) {
      if (update !== 2) continue;
      await first.policy.save({ model });
      saved = JSON.stringify(state);
      break;
    }
    const second = options({ resume: JSON.parse(saved) } as Partial<PpoOptions>, changes);
    await second.policy.load({ model });
    await rm(folder, { recursive: true });
    expect(await run(second)).toEqual(expected.slice(2));
    const last = expected.at(-1)!;
    const finished = expected.reduce((sum, { rollout }) => sum + rollout.episodes.length, 0);
    expect(last.state.window).toHaveLength(finished);
    const successes = last.state.window!.filter(({ success }) => success).length;
    expect(last.metrics["rollout/window_success_rate"]).toBe(successes / finished);
    const [none] = await run(options({}, { updates: 1 }));
    expect(none!.metrics).not.toHaveProperty(["rollout/window_success_rate"]);
    expect(none!.state).not.toHaveProperty("window");
  });
});
