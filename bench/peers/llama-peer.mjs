/**
 * The llama.cpp peer of the benchmarks: a child process that answers one line of JSON on standard output for each on
 * standard input, until the input ends. It decodes greedily with a KV cache, on node-llama-cpp's prebuilt binary
 * for the CPU.
 *
 *   {"op":"hello","threads":2}                            -> {"name":"llama.cpp","version":"...","threads":2}
 *   {"op":"open","case":"decode","settings":{...}}        -> {"handle":1}, or {"unsupported":"why"}
 *   {"op":"check","handle":1}                             -> {"values":{"tokens":[[first 8 of each row]]}}
 *   {"op":"run","handle":1}                               -> {"seconds": of newTokens decode steps for all rows, after the prefill}
 *   {"op":"memory","handle":1}                            -> {"peakBytes": weights, KV cache and compute buffers}
 *   {"op":"close","handle":1}                             -> {}
 *
 * Settings of `decode`: {model, weights, prompts, newTokens, precision, variant}: a ModelSpec, the path of its weights
 * as `Engine.save` writes them, token ids per row, decode steps per run, "fp32", "fp16" or "bf16", and "eager".
 * Whatever fails is answered with {"error":"why"}; the process lives on.
 *
 * node-llama-cpp (tested: 3.22.1) is taken from the node_modules of the folder that SIGHTLINE_BENCH_LLAMA names. The classes
 * that are called are those of its native binding: its public ones queue and regroup requests, which is not
 * llama.cpp's time. What a step costs here is one `llama_decode` for all rows and one greedy `llama_sampler_sample` per row.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { writeGguf } from "./gguf.mjs";

/** Tokens of each row that `check` returns. */
const checkedTokens = 8;

/** llama.cpp gives each row a multiple of this many KV cache cells. */
const cellBlock = 256;

/** @type {{ bindings: object, version: string, threads: number } | undefined} set by `hello` */
let llama;
const cases = new Map();
let lastHandle = 0;

const operations = {
  async hello({ threads = availableParallelism() }) {
    llama ??= await loadLlama(threads);
    return { name: "llama.cpp", version: llama.version, threads: llama.threads };
  },

  async open({ case: name, settings }) {
    if (!llama) throw new Error("op: expected hello before open");
    if (name !== "decode") return { unsupported: `case ${name}; llama.cpp only decodes` };
    if (settings.variant !== "eager")
      return { unsupported: `variant ${settings.variant}; there is only eager` };
    cases.set(++lastHandle, await Decoding.open(llama, settings));
    return { handle: lastHandle };
  },

  async check({ handle }) {
    const decoding = find(handle);
    const rows = [await decoding.prefill()];
    while (rows.length < checkedTokens) rows.push(await decoding.step(rows.at(-1)));
    return { values: { tokens: rows[0].map((_, row) => rows.map((tokens) => tokens[row])) } };
  },

  async run({ handle }) {
    const decoding = find(handle);
    let tokens = await decoding.prefill();
    const start = performance.now();
    for (let i = 0; i < decoding.newTokens; ++i) tokens = await decoding.step(tokens);
    return { seconds: (performance.now() - start) / 1000 };
  },

  memory: ({ handle }) => ({ peakBytes: find(handle).bytes }),

  async close({ handle }) {
    await find(handle).close();
    cases.delete(handle);
    return {};
  },
};

/** Some rows that are decoded together: a model, a context, and a sampler per row. */
class Decoding {
  #model;
  #context;
  #samplers;
  #prompts;
  /** Tokens in the cache of every row beyond its prompt. */
  #decoded = 0;

  constructor(model, context, samplers, { prompts, newTokens }) {
    this.#model = model;
    this.#context = context;
    this.#samplers = samplers;
    this.#prompts = prompts.map((prompt) => Uint32Array.from(prompt));
    this.newTokens = newTokens;
  }

  /** Loads the weights and reserves a cache that holds each prompt and its response. */
  static async open({ bindings, threads }, settings) {
    const { prompts, newTokens, precision } = settings;
    const model = await loadModel(bindings, settings);
    const longestPrompt = Math.max(...prompts.map((prompt) => prompt.length));
    const cells = longestPrompt + Math.max(newTokens, checkedTokens);
    // fp16 is llama.cpp's default for the cache. Its flash attention rounds an fp32 cache to fp16 at each step, which
    // costs precision and time.
    const exact = precision === "fp32";
    const cacheType = bindings.getGgmlType(exact ? "f32" : "f16");
    const context = new bindings.AddonContext(model, {
      sequences: prompts.length,
      contextSize: prompts.length * Math.ceil(cells / cellBlock) * cellBlock,
      // Prompts are processed one by one, decode steps for all rows at once.
      batchSize: Math.max(longestPrompt, prompts.length),
      flashAttention: exact ? false : "auto",
      kvCacheKeyType: cacheType,
      kvCacheValueType: cacheType,
      threads,
    });
    if (!(await context.init())) {
      await model.dispose();
      throw new Error("llama.cpp could not create a context; its messages are on the error output");
    }
    const samplers = prompts.map(() => {
      const sampler = new bindings.AddonSampler(model);
      sampler.applyConfig({ temperature: 0 });
      return sampler;
    });
    return new Decoding(model, context, samplers, settings);
  }

  /** Bytes of weights, KV cache and compute buffers, all of which llama.cpp allocates when it opens a case. */
  get bytes() {
    return this.#model.getMemoryBreakdown().cpuRam + this.#context.getMemoryBreakdown().cpuRam;
  }

  /** Starts anew from the prompts. @returns the first token of each row */
  async prefill() {
    this.#decoded = 0;
    const first = [];
    for (const [row, prompt] of this.#prompts.entries()) {
      this.#context.disposeSequence(row);
      this.#context.initBatch(prompt.length);
      const [output] = this.#context.addToBatch(row, 0, prompt, Uint32Array.of(prompt.length - 1));
      await this.#context.decodeBatch();
      first.push(await this.#context.sampleToken(output, this.#samplers[row]));
    }
    return first;
  }

  /** @param {number[]} tokens the last token of each row @returns the next of each */
  async step(tokens) {
    this.#context.initBatch(tokens.length);
    const outputs = tokens.map((token, row) => {
      const position = this.#prompts[row].length + this.#decoded;
      return this.#context.addToBatch(row, position, Uint32Array.of(token), Uint32Array.of(0))[0];
    });
    await this.#context.decodeBatch();
    ++this.#decoded;
    return Promise.all(outputs.map((output, row) => this.#context.sampleToken(output, this.#samplers[row])));
  }

  async close() {
    for (const sampler of this.#samplers) sampler.dispose();
    await this.#context.dispose();
    await this.#model.dispose();
  }
}

/** Converts the weights to a file that lives until llama.cpp has read it. */
async function loadModel(bindings, { model: spec, weights, precision }) {
  const folder = mkdtempSync(join(tmpdir(), "sightline-llama-"));
  try {
    const file = join(folder, "model.gguf");
    writeGguf({ source: weights, target: file, model: spec, precision });
    // Not memory-mapped, because the file goes.
    const model = new bindings.AddonModel(file, { addonExports: bindings, gpuLayers: 0, useMmap: false });
    if (!(await model.init()))
      throw new Error("llama.cpp could not load the model; its messages are on the error output");
    return model;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function loadLlama(threads) {
  const { SIGHTLINE_BENCH_LLAMA: folder } = process.env;
  if (!folder)
    throw new Error(
      "SIGHTLINE_BENCH_LLAMA: expected a folder with node-llama-cpp in its node_modules, received none",
    );
  const require = createRequire(join(resolve(folder), "package.json"));
  const { getLlama, getModuleVersion } = await import(pathToFileURL(require.resolve("node-llama-cpp")));
  const { _bindings: bindings, llamaCppRelease } = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    progressLogs: "stderr",
    logLevel: "error",
    logger: (_level, message) => process.stderr.write(message),
  });
  if (!bindings?.AddonContext)
    throw new Error(
      "node-llama-cpp: expected the native binding of version 3.22, received another; install node-llama-cpp@3.22.1",
    );
  const version = `${llamaCppRelease.release} (node-llama-cpp ${await getModuleVersion()})`;
  return { bindings, version, threads };
}

function find(handle) {
  const decoding = cases.get(handle);
  if (!decoding) throw new Error(`handle: expected that of an open case, received ${handle}`);
  return decoding;
}

async function answer(line) {
  try {
    const request = JSON.parse(line);
    if (!Object.hasOwn(operations, request.op)) {
      throw new Error(`op: expected one of ${Object.keys(operations).join(", ")}, received ${request.op}`);
    }
    return await operations[request.op](request);
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
for (const decoding of cases.values()) await decoding.close();
