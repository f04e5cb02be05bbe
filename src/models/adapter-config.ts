/** `adapter_config.json` of PEFT: how low-rank adapters are added to a model. */
import { z } from "zod";
import { fullMatch, type LinearLayer } from "./linear-layers.js";

/** What of the file says how an adapter computes: W x + (alpha / rank) B A x. */
export interface AdapterConfig {
  readonly rank: number;
  /** With `use_rslora` that of the file times the square root of the rank. */
  readonly alpha: number;
  /** In training; probability that an element of x is dropped. */
  readonly dropout: number;
  /** Folder or hub name of the model; null where the file has none. */
  readonly baseModel: string | null;
  /** Whether the file says that the layer has an adapter; null where it counts layers in a way of its own. */
  targets(layer: LinearLayer): boolean | null;
}

/** A setting that must not be used. PEFT writes null or an empty value where it is not. */
const unused = (what: string) =>
  z
    .unknown()
    .refine((value) => value == null || value === false || isEmpty(value), {
      error: `expected no ${what}, which is not supported; merge the adapter with PEFT first`,
    })
    .optional();

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

const patterns = z.union([z.string(), z.array(z.string())]);

const adapterConfigFile = z.looseObject({
  peft_type: z.literal("LORA"),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).lt(1).nullish(),
  target_modules: patterns,
  exclude_modules: patterns.nullish(),
  base_model_name_or_path: z.string().nullish(),
  use_rslora: z.boolean().nullish(),
  bias: z.literal("none", { error: 'expected "none": biases that are trained are not supported' }).nullish(),
  // Others change the base model's weights when they are set up.
  init_lora_weights: z
    .literal([true, false, "gaussian", "eva", "orthogonal"], {
      error:
        "expected an initialisation that leaves the model's weights alone: true, false, gaussian, eva or orthogonal",
    })
    .nullish(),
  layers_to_transform: z.unknown().optional(),
  fan_in_fan_out: unused("transposed weights"),
  use_dora: unused("DoRA"),
  use_qalora: unused("QALoRA"),
  use_bdlora: unused("block-diagonal adapters"),
  lora_bias: unused("biases of adapters"),
  modules_to_save: unused("further modules"),
  rank_pattern: unused("ranks by module"),
  alpha_pattern: unused("alphas by module"),
  layer_replication: unused("replicated layers"),
  target_parameters: unused("adapters of parameters that are no module's weight"),
  trainable_token_indices: unused("trained tokens"),
  alora_invocation_tokens: unused("activated adapters"),
  arrow_config: unused("routing between adapters"),
});

/** Reads the content of the file. Settings that would change what is computed are honoured or refused, by their key; others are let through. */
export const adapterConfig: z.ZodType<AdapterConfig> = adapterConfigFile.transform((file, context) => {
  const matcher = (key: "target_modules" | "exclude_modules") => {
    try {
      return moduleMatcher(file[key] ?? []);
    } catch {
      context.addIssue({ code: "custom", path: [key], message: "expected a regular expression" });
      return z.NEVER;
    }
  };
  const isTarget = matcher("target_modules");
  const isExcluded = matcher("exclude_modules");
  return {
    rank: file.r,
    alpha: file.use_rslora ? file.lora_alpha * Math.sqrt(file.r) : file.lora_alpha,
    dropout: file.lora_dropout ?? 0,
    baseModel: file.base_model_name_or_path ?? null,
    targets: ({ paths }) =>
      file.layers_to_transform == null ? paths.some(isTarget) && !paths.some(isExcluded) : null,
  };
});

/** Whether a module is chosen: by a pattern of its whole path, or by the path or its last parts. */
function moduleMatcher(chosen: string | readonly string[]): (path: string) => boolean {
  if (chosen === "all-linear") return () => true;
  if (typeof chosen === "string") return fullMatch(chosen);
  return (path) => chosen.some((module) => path === module || path.endsWith(`.${module}`));
}

/** The release of PEFT whose files these are like. */
const peftVersion = "0.18.0";

/** What an `adapter_config.json` is written from. */
export interface WrittenAdapter {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly baseModel: string;
  /** With adapters. */
  readonly layers: readonly LinearLayer[];
}

/** The text of the file as PEFT writes it: for inference, keys in order. */
export function adapterConfigText({ rank, alpha, dropout, baseModel, layers }: WrittenAdapter): string {
  const content = {
    alpha_pattern: {},
    base_model_name_or_path: baseModel,
    bias: "none",
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: alpha,
    lora_dropout: dropout,
    modules_to_save: null,
    peft_type: "LORA",
    peft_version: peftVersion,
    r: rank,
    rank_pattern: {},
    revision: null,
    target_modules: targetPattern(layers),
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: false,
  };
  return `${JSON.stringify(content, undefined, 2)}\n`;
}

/**
 * A pattern of exactly these layers, under every path that they go by. A list of the last parts of paths would mean other layers, too:
 * the blocks of encoders and decoders have parts of the same names.
 */
function targetPattern(layers: readonly LinearLayer[]): string {
  const alternatives: string[] = [];
  /** Of paths with the number of a block: what stands behind it, by number, by what stands before it. */
  const blocks = new Map<string, Map<string, string[]>>();
  for (const path of layers.flatMap((layer) => layer.paths)) {
    const [, prefix, number, part] = /^(.*\.)(\d+)\.(.*)$/.exec(path) ?? [];
    if (prefix === undefined || number === undefined || part === undefined) {
      alternatives.push(escaped(path));
      continue;
    }
    const numbers = blocks.get(prefix) ?? new Map<string, string[]>();
    numbers.set(number, [...(numbers.get(number) ?? []), part]);
    blocks.set(prefix, numbers);
  }
  for (const [prefix, numbers] of blocks) {
    const numbersByParts = new Map<string, string[]>();
    for (const [number, parts] of numbers) {
      const key = oneOf(parts);
      numbersByParts.set(key, [...(numbersByParts.get(key) ?? []), number]);
    }
    for (const [parts, same] of numbersByParts)
      alternatives.push(`${escaped(prefix)}${oneOf(same)}\\.${parts}`);
  }
  return alternatives.join("|");
}

const escaped = (text: string) => text.replaceAll(".", "\\.");
const oneOf = (choices: readonly string[]) => `(${choices.map(escaped).join("|")})`;
