import { describe, expect, test } from "vitest";
import { parse as parseYaml, stringify as stringifyYaml } from "yaml";
import { noQuirks } from "../../src/algorithms/quirks.js";
import { type PpoRunConfig, parseConfig } from "../../src/train/config.js";
import { ConfigError } from "../../src/train/config-error.js";
import { presets } from "../../src/train/presets.js";
import { resolveConfig } from "../../src/train/resolve-config.js";

function config(changes: object): PpoRunConfig {
  const complete = { algorithm: "ppo", task: "number-line", model: { checkpoint: "tiny-vlm" } };
  return parseConfig({ ...complete, ...changes }) as PpoRunConfig;
}

function issuesOf(changes: object) {
  try {
    config(changes);
  } catch (error) {
    if (error instanceof ConfigError) return error.issues;
    throw error;
  }
  throw new Error("expected a ConfigError");
}

const off = { ...noQuirks, paperReset: false, referenceEval: false, hiddenFifthCard: false };
const onEverywhere = {
  ...off,
  lastFiveTokens: true,
  dropFirstToken: true,
  insertBeginToken: true,
  bfloat16LogProbs: true,
  terminalTimeouts: true,
  learningRateCycle: { halfPeriod: 25, stepsPerUpdate: 1 },
};

describe("the mode", () => {
  test("is fixed by default, and then nothing is a quirk", () => {
    expect(config({}).mode).toBe("fixed");
    expect(config({}).quirks).toEqual(off);
    expect(config({ mode: "fixed" })).toEqual(config({}));
  });

  test.each([
    ["number-line", { paperReset: true }],
    ["blackjack", { hiddenFifthCard: true }],
    ["ez-points", { stalePrompt: true, initialPrompt: true, referenceEval: true }],
    ["points24", { stalePrompt: true, initialPrompt: true, referenceEval: true }],
    ["one of one's own", { stalePrompt: true, initialPrompt: true }],
  ])("paper turns on for %s every quirk that has an effect there", (task, own) => {
    expect(config({ mode: "paper", task }).quirks).toEqual({ ...onEverywhere, ...own });
  });

  test("paper changes the defaults of settings that both modes have", () => {
    const { ppo, model } = config({ mode: "paper", ppo: { clipRange: 0.2 } });
    expect(ppo).toMatchObject({
      dualClip: 10,
      valueClipRange: 0.2,
      advantageStdFloor: 0,
      advantageEpsilon: 1e-5,
      maxGradientNorm: null,
      valueMaxGradientNorm: null,
      adamEpsilon: 1e-7,
      warmupSteps: 0,
      topK: 50,
      successWindow: 200,
      klCoefficient: 0,
      entropyCoefficient: 0,
    });
    expect(model.frozen).toEqual(["vision"]);
  });

  test("leaves alone what a configuration says itself, null included", () => {
    const own = {
      mode: "paper",
      ppo: { dualClip: null, valueClipRange: null, maxGradientNorm: 0.5, topK: 0, successWindow: null },
      quirks: { insertBeginToken: false, learningRateCycle: null },
      model: { checkpoint: "tiny-vlm", frozen: [] },
    };
    const { ppo, quirks, model } = config(own);
    expect(ppo).toMatchObject(own.ppo);
    expect(quirks).toEqual({ ...onEverywhere, ...own.quirks, paperReset: true });
    expect(model.frozen).toEqual([]);
  });

  test("paper drops where adapters are, and then nothing holds log-probs together", () => {
    const adapted = (lora: object | null) =>
      config({ mode: "paper", model: { checkpoint: "tiny-vlm", ...(lora && { lora }) } });
    expect(adapted({}).model.lora).toMatchObject({ components: ["decoder"], rank: 128, dropout: 0.05 });
    expect(adapted({ dropout: 0.1 }).model.lora).toMatchObject({ dropout: 0.1 });
    for (const lora of [{}, { dropout: 0.1 }]) expect(adapted(lora).ppo.maxLogProbMismatch).toBeNull();
    expect(adapted({ dropout: 0 }).ppo.maxLogProbMismatch).toBe(0);
    expect(adapted(null).model.lora).toBeUndefined();
    expect(adapted(null).ppo.maxLogProbMismatch).toBe(0);
  });

  test.each(["fixed", "paper"])("%s refuses dropout together with equal log-probs", (mode) => {
    const model = { checkpoint: "tiny-vlm", lora: { dropout: 0.05 } };
    const [issue] = issuesOf({ mode, model, ppo: { maxLogProbMismatch: 0.1 } });
    expect(issue).toEqual({
      path: "ppo.maxLogProbMismatch",
      expected: "null, since with model.lora.dropout = 0.05 every pass drops something else",
      received: "0.1",
    });
    expect(config({ mode, model, ppo: { maxLogProbMismatch: null } }).model.lora?.dropout).toBe(0.05);
    const certain = { checkpoint: "tiny-vlm", lora: { dropout: 1 } };
    expect(issuesOf({ mode, model: certain, ppo: { maxLogProbMismatch: null } })).toMatchObject([
      { path: "model.lora.dropout", expected: "a number >= 0 and < 1" },
    ]);
  });

  test("is complete: a paper configuration parsed again is the same", () => {
    const paper = config({ mode: "paper", ppo: { dualClip: null } });
    expect(config(JSON.parse(JSON.stringify(paper)))).toEqual(paper);
    expect(config(parseYaml(stringifyYaml(paper)))).toEqual(paper);
  });

  test("lets every quirk be set on its own", () => {
    const general = [
      "lastFiveTokens",
      "dropFirstToken",
      "insertBeginToken",
      "bfloat16LogProbs",
      "terminalTimeouts",
    ];
    for (const name of general)
      expect(config({ quirks: { [name]: true } }).quirks).toEqual({ ...off, [name]: true });
    expect(config({ quirks: { learningRateCycle: { stepsPerUpdate: 4 } } }).quirks.learningRateCycle).toEqual(
      {
        halfPeriod: 25,
        stepsPerUpdate: 4,
      },
    );
  });

  test.each([
    ["number-line", "stalePrompt"],
    ["number-line", "initialPrompt"],
    ["number-line", "referenceEval"],
    ["blackjack", "stalePrompt"],
    ["ez-points", "paperReset"],
    ["points24", "hiddenFifthCard"],
    ["one of one's own", "paperReset"],
  ])("refuses for %s the quirk %s, which has no effect there", (task, name) => {
    for (const mode of ["fixed", "paper"]) {
      expect(issuesOf({ task, mode, quirks: { [name]: true } })).toEqual([
        {
          path: `quirks.${name}`,
          expected: `false, since it has no effect on task "${task}"`,
          received: "true",
        },
      ]);
    }
  });

  test("is not for supervised fine-tuning, which the prompts' form is", () => {
    const sft = { algorithm: "sft", task: "number-line", model: { checkpoint: "tiny-vlm" } };
    expect(() => parseConfig({ ...sft, mode: "paper" })).toThrow(/mode: expected a setting that exists/);
    expect(parseConfig({ ...sft, thoughts: false })).toMatchObject({ thoughts: false });
  });

  test("names what it takes", () => {
    expect(issuesOf({ mode: "papre" })).toMatchObject([
      { path: "mode", expected: 'one of "fixed", "paper"' },
    ]);
    expect(issuesOf({ quirks: { learningRateCycle: { halfPeriod: 0 } } })).toMatchObject([
      { path: "quirks.learningRateCycle.halfPeriod", expected: "an integer >= 1" },
    ]);
    expect(issuesOf({ ppo: { maxGradientNorm: 0 } })).toMatchObject([{ expected: "a number > 0, or null" }]);
  });
});

describe("a preset", () => {
  test("follows the mode where it says nothing itself", () => {
    const paper = resolveConfig("number-line", ["mode=paper"]) as PpoRunConfig;
    expect(paper.quirks).toEqual({ ...onEverywhere, paperReset: true });
    // The recipe's own settings stay.
    expect(paper.ppo).toMatchObject({ dualClip: 3, klCoefficient: 2, maxGradientNorm: null, topK: 50 });
  });

  test("takes null where null is a value, even of a setting that it states", () => {
    const overrides = ["mode=paper", "ppo.dualClip=null", "quirks.learningRateCycle=null"];
    const { ppo, quirks } = resolveConfig("number-line", overrides) as PpoRunConfig;
    expect(ppo.dualClip).toBeNull();
    expect(quirks.learningRateCycle).toBeNull();
  });

  test.each([
    ["number-line", 29, 512, 200],
    ["ez-points", 14, 1024, 200],
    ["points24", 14, 1024, 200],
    ["blackjack", 29, 512, 1000],
  ])("of the paper's scale has the paper's numbers for %s", (task, updates, decisions, successWindow) => {
    const preset = parseConfig(presets[`${task}-llava-1.6-mistral-7b`]!()) as PpoRunConfig;
    expect(preset).toMatchObject({
      mode: "paper",
      task,
      model: { frozen: ["vision"], lora: { rank: 128, alpha: 256, dropout: 0.05 } },
      ppo: {
        updates,
        epochs: 4,
        minibatchSize: 128,
        clipRange: 0.1,
        gamma: 0.9,
        gaeLambda: 0.95,
        lambda: 0.5,
        learningRate: 1e-5,
        finalLearningRate: 1e-9,
        valueLearningRate: 1e-5,
        valueLossCoefficient: 0.5,
        valueClipRange: 0.1,
        maxGradientNorm: null,
        adamBetas: [0.9, 0.999],
        adamEpsilon: 1e-7,
        temperature: 0.2,
        topK: 50,
        maxNewTokens: 256,
        maxLogProbMismatch: null,
        successWindow,
      },
      quirks: { insertBeginToken: true, learningRateCycle: { halfPeriod: 25, stepsPerUpdate: 4 } },
    });
    expect(preset.environments * preset.ppo.stepsPerEnvironment).toBe(decisions);
  });
});
