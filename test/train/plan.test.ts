import { describe, expect, test } from "vitest";
import { knownModels } from "../../src/models/known-models.js";
import { gpus } from "../../src/train/gpus.js";
import { makePlan, type PlanRequest } from "../../src/train/plan.js";
import { planRun } from "../../src/train/plan-run.js";
import { resolveConfig } from "../../src/train/resolve-config.js";

const llava: PlanRequest = {
  model: knownModels["llava-v1.6-mistral-7b"]!,
  options: {
    precision: "bf16",
    trainable: { vision: "frozen", projector: "lora", decoder: "lora" },
    lora: { rank: 128, alpha: 256 },
    threads: 1,
  },
  work: {
    environments: 32,
    decisions: 512,
    epochs: 4,
    minibatchSize: 128,
    microbatchSize: 4,
    promptTokens: 726,
    responseTokens: 150,
  },
  gpu: gpus["a100-80g"]!,
  gpuCount: 8,
};

describe("the plan of LLaVA-1.6-Mistral-7B with adapters of rank 128", () => {
  test("trains as many parameters as the shapes of its adapters say", async () => {
    const { decoder, vision } = llava.model;
    const adapter = (inputs: number, outputs: number) => 128 * (inputs + outputs);
    const { width, mlpWidth } = decoder;
    const [q, kv] = [decoder.heads * 128, decoder.keyValueHeads * 128];
    const layer =
      adapter(width, q) +
      2 * adapter(width, kv) +
      adapter(q, width) +
      2 * adapter(width, mlpWidth) +
      adapter(mlpWidth, width);
    const projector = adapter(vision!.width, 4096) + adapter(4096, 4096);
    const valueHead = 4096 * 1024 + 1024 + 1024 * 512 + 512 + 512 + 1;
    const { trainedParameters } = await makePlan(llava);
    expect(trainedParameters).toBe(32 * layer + projector + valueHead);
  });

  test("counts the products of a decision as their shapes say", async () => {
    const { phases } = await makePlan(llava);
    const { width, mlpWidth, layers } = llava.model.decoder;
    // Per token: q and out, k and v, gate, up and down; a multiply-add is two.
    const perToken = 2 * (2 * width * width + 2 * width * 1024 + 3 * width * mlpWidth) * layers;
    const [forward, backward] = phases.filter(({ name }) => /update: (for|back)ward/.test(name));
    const tokens = 4 * 512 * (726 + 149);
    // Forward: adapters add 5 %, the last layer leaves most rows out. Backward: as much again for adapters' own gradients.
    expect(forward!.bf16Flops / (perToken * tokens)).toBeGreaterThan(1);
    expect(forward!.bf16Flops / (perToken * tokens)).toBeLessThan(1.1);
    expect(backward!.bf16Flops / (perToken * tokens)).toBeGreaterThan(1);
    expect(backward!.bf16Flops / (perToken * tokens)).toBeLessThan(1.2);
  });

  test("scales with what changes and with nothing else", async () => {
    const base = await makePlan(llava);
    const phase = (plan: typeof base, name: string) => plan.phases.find((one) => one.name === name)!;
    const epochs = await makePlan({ ...llava, work: { ...llava.work, epochs: 8 } });
    expect(phase(epochs, "update: forward").bytes).toBe(2 * phase(base, "update: forward").bytes);
    expect(phase(epochs, "rollout: responses")).toEqual(phase(base, "rollout: responses"));
    expect(epochs.update).toEqual(base.update);
    const smaller = await makePlan({ ...llava, work: { ...llava.work, microbatchSize: 1 } });
    expect(smaller.update.activations).toBeLessThan(base.update.activations / 2);
    expect(smaller.update.weights).toBe(base.update.weights);
  });

  test("all-reduces every gradient once per optimizer step, over a ring", async () => {
    const { phases, trainedParameters, update } = await makePlan(llava);
    expect(update.gradients).toBeGreaterThanOrEqual(4 * trainedParameters);
    const { linkBytes, floorSeconds } = phases.find(({ name }) => name === "gradient all-reduce")!;
    expect(linkBytes / (16 * (14 / 8) * 4 * trainedParameters)).toBeCloseTo(1, 2);
    expect(floorSeconds).toBeCloseTo(linkBytes / 300e9, 12);
    const alone = await makePlan({ ...llava, gpuCount: 1 });
    expect(alone.phases.find(({ name }) => name === "gradient all-reduce")!.linkBytes).toBe(0);
  });
});

test("a run is planned with the sizes of its preset", async () => {
  const { work } = await planRun(resolveConfig("number-line-llava-1.6-mistral-7b"), {
    gpu: "a100-80g",
    gpuCount: 8,
  });
  expect(work).toEqual({ ...llava.work, responseTokens: 256, scoringPass: true });
});

test("a scoring pass before the update is one forward of it, a token longer", async () => {
  const phase = (plan: Awaited<ReturnType<typeof makePlan>>, name: string) =>
    plan.phases.find((one) => one.name === name);
  const plain = await makePlan(llava);
  const scored = await makePlan({ ...llava, work: { ...llava.work, scoringPass: true } });
  const longer = await makePlan({ ...llava, work: { ...llava.work, responseTokens: 151 } });
  expect(phase(plain, "rollout: scoring")).toBeUndefined();
  expect(phase(scored, "update: forward")).toEqual(phase(longer, "update: forward"));
  expect(scored.update).toEqual(longer.update);
  expect(scored.rollout).toEqual(plain.rollout);
  // Four epochs in the update.
  const forward = phase(scored, "update: forward")!.bf16Flops / 4;
  expect(phase(scored, "rollout: scoring")!.bf16Flops / forward).toBeCloseTo(1, 6);
});

test("a plan that exceeds the GPU's memory says so", async () => {
  const tight = await makePlan({ ...llava, gpu: { ...llava.gpu, memoryBytes: 10e9 } });
  expect(tight.fits).toBe(false);
  const ample = await makePlan({ ...llava, gpu: { ...llava.gpu, memoryBytes: 200e9 } });
  expect(ample.fits).toBe(true);
});
