import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/native/engine.js";
import type { GenerateRequest } from "../../src/native/types.js";
import {
  createTinyEngine,
  expectFailure,
  prompt,
  rejection,
  request,
  sequence,
  tinySpec,
} from "./tiny-engine.js";

const image = prompt().images[0]!;

let engine: Engine;
beforeAll(async () => {
  engine = await createTinyEngine();
});
afterAll(() => engine.dispose());

describe("arguments", () => {
  const wrong = (changes: object) => engine.generate({ ...request(), ...changes } as GenerateRequest);

  test.each<[string, object, string]>([
    ["no prompt", { prompt: undefined }, "request.prompt: expected an object, received nothing"],
    [
      "tokens in another array",
      { prompt: { tokens: [1, 2], images: [] } },
      "request.prompt.tokens: expected an Int32Array, received an object of class Array",
    ],
    [
      "a token outside the vocabulary",
      { prompt: { tokens: Int32Array.of(3, 4, 5, 900), images: [] } },
      "request.prompt.tokens[3]: expected a token id in [0, 32), received 900",
    ],
    [
      "an image in another array",
      { prompt: { ...prompt(), images: [{ pixels: new Float64Array(192) }] } },
      "request.prompt.images[0].pixels: expected a Float32Array, received an object of class Float64Array",
    ],
    [
      "an image of another size",
      { prompt: { ...prompt(), images: [{ pixels: new Float32Array(7) }] } },
      "request.prompt.images[0].pixels: expected 192 values per view, received 7",
    ],
    [
      "a grid for views of one size",
      { prompt: { ...prompt(), images: [{ ...image, grid: { rows: 2, columns: 2 } }] } },
      "request.prompt.images[0].grid: expected none, since the model takes views of one size, received one",
    ],
    [
      "a feature that the image does not have",
      { prompt: { ...prompt(), images: [{ ...image, tokens: Int32Array.of(0, 4) }] } },
      "request.prompt.images[0].tokens[1]: expected one of the image's 4 features, since the model has no newline vector, received 4",
    ],
    [
      "fewer image tokens than its images have",
      { prompt: { tokens: Int32Array.of(1, 1, 1, 3), images: [image] } },
      "request.prompt.tokens: expected the image token 1 4 times (all tokens of 1 images), received it 3 times",
    ],
    [
      "images that are no list",
      { prompt: { ...prompt(), images: 3 } },
      "request.prompt.images: expected an array, received 3",
    ],
    ["no temperature", { sampling: {} }, "request.sampling.temperature: expected a number, received nothing"],
    [
      "a temperature in words",
      { sampling: { temperature: "hot" } },
      'request.sampling.temperature: expected a number, received "hot"',
    ],
    [
      "a fraction of a token",
      { maxNewTokens: 1.5 },
      "request.maxNewTokens: expected an integer in [0, 2147483647], received 1.5",
    ],
    [
      "a negative number of tokens",
      { maxNewTokens: -1 },
      "request.maxNewTokens: expected an integer in [0, 2147483647], received -1",
    ],
    [
      "a number of tokens that is not one",
      { maxNewTokens: Number.NaN },
      "request.maxNewTokens: expected an integer in [0, 2147483647], received NaN",
    ],
    [
      "half a random key",
      { randomKey: [1] },
      "request.randomKey: expected two unsigned 32-bit integers, received 1",
    ],
    [
      "a random key out of range",
      { randomKey: [1, 2 ** 32] },
      "request.randomKey[1]: expected an integer in [0, 4294967295], received 4294967296",
    ],
    [
      "null for an option",
      { sampling: { temperature: 1, topP: null } },
      "request.sampling.topP: expected a number, received null",
    ],
    [
      "stop strings without token bytes",
      { stopStrings: ["x"] },
      "request.stopStrings: expected none, since the engine was created without tokenBytes",
    ],
    [
      "stop strings that are none",
      { stopStrings: [{}] },
      "request.stopStrings[0]: expected a string, received an object of class Object",
    ],
  ])("generate with %s is refused by name", async (_, changes, message) => {
    await expectFailure(wrong(changes), "INVALID_ARGUMENT", message);
  });

  test("the other calls name their arguments too", async () => {
    const { forward, backward, step, save } = {
      forward: (...args: unknown[]) => engine.forward(...(args as Parameters<Engine["forward"]>)),
      backward: (...args: unknown[]) => engine.backward(...(args as Parameters<Engine["backward"]>)),
      step: (options: unknown) => engine.step(options as Parameters<Engine["step"]>[0]),
      save: (target: unknown) => engine.save(target as Parameters<Engine["save"]>[0]),
    };
    const logProbs = new Float32Array(1);
    const cases: [() => Promise<unknown>, string][] = [
      [() => forward(3), "batch: expected an array, received 3"],
      [() => forward([]), "batch: expected at least one sequence, received none"],
      [() => forward([{ prompt: prompt() }]), "batch[0].response: expected an Int32Array, received nothing"],
      [
        () => forward([sequence(1)], { entropies: 1 }),
        "options.entropies: expected true or false, received 1",
      ],
      [
        () => backward({}, { logProbs }),
        "forward.tape: expected an integer in [0, 9007199254740991], received nothing",
      ],
      [() => backward({ tape: 1 }, {}), "gradient.logProbs: expected a Float32Array, received nothing"],
      [() => step({}), "groups: expected an array, received nothing"],
      [
        () => step({ groups: [{ components: ["head"], learningRate: 1 }] }),
        'groups[0].components[0]: expected one of "vision", "projector", "decoder", "value_head", received "head"',
      ],
      [() => step({ groups: [], betas: [0.9] }), "betas: expected two numbers, received 1"],
      [() => save({ model: "" }), 'target.model: expected the path of a file, received ""'],
      [() => save({ model: "a\0b" }), 'target.model: expected the path of a file, received "a\\u0000b"'],
    ];
    for (const [call, message] of cases) await expectFailure(call(), "INVALID_ARGUMENT", message);
  });

  test("create names what is wrong with its options", async () => {
    const create = (changes: object) => Engine.create({ model: tinySpec, ...changes });
    const cases: [() => Promise<unknown>, RegExp][] = [
      [() => create({ model: {} }), /^model\.vision: expected an object, received nothing$/],
      [() => create({ threads: 0 }), /^threads: expected an integer in \[1, 1024\], received 0$/],
      [
        () => create({ trainable: { head: "all" } }),
        /^trainable: expected one of "vision".*received "head"$/,
      ],
      [
        () => create({ trainable: { decoder: "some" } }),
        /^trainable\.decoder: expected one of "all", "lora", "frozen"/,
      ],
      [() => create({ trainable: { decoder: "lora" } }), /^lora: expected a rank and an alpha/],
      [
        () => create({ tokenBytes: [new Uint8Array(1)] }),
        /^tokenBytes: expected one entry per token, 32 in all, received 1$/,
      ],
      [() => create({ memoryLimitBytes: 0 }), /^memoryLimitBytes: expected an integer in \[1, /],
      [() => create({ cpu: "abacus" }), /abacus/],
      [
        () =>
          create({
            model: { ...tinySpec, vision: { ...tinySpec.vision, width: 6 } },
            precision: "bf16",
          }),
        /^precision: expected "fp32", since on the CPU bf16 takes heads of an even size.* = 3, received "bf16"$/,
      ],
    ];
    for (const [call, message] of cases) await expectFailure(call(), "INVALID_ARGUMENT", message);
    await expectFailure(create({ memoryLimitBytes: 1000 }), "OUT_OF_MEMORY", /memoryLimitBytes/);
  });

  test("requests that memory does not suffice for are all told so, and smaller ones go on", async () => {
    const { total } = engine.memory();
    const small = await createTinyEngine({ memoryLimitBytes: total.currentBytes + 200_000 });
    try {
      const long = Array.from({ length: 200 }, (_, i) => 3 + (i % 20));
      const asked = [0, 1, 2, 3].map((first) =>
        small.generate(request({ prompt: prompt([3 + first, ...long]), maxNewTokens: 4 })),
      );
      for (const answer of asked) await expectFailure(answer, "OUT_OF_MEMORY", /memoryLimitBytes/);
      expect((await small.generate(request({ maxNewTokens: 2 }))).tokens.length).toBeGreaterThan(0);
    } finally {
      small.dispose();
    }
  });

  test("errors carry the stack of the code that awaited the call", async () => {
    async function innocentCaller() {
      await engine.step({ groups: [{ components: [], learningRate: Number.NaN }] });
    }
    expect(((await rejection(innocentCaller())) as Error).stack).toContain("innocentCaller");
  });

  test("an exception out of a getter is passed on as it is", async () => {
    const thrown = new Error("mine");
    const trap = {
      get prompt(): never {
        throw thrown;
      },
    };
    expect(await rejection(engine.generate(trap as never))).toBe(thrown);
  });
});
