import type { ModelSpec } from "../native/model-spec.js";
import type { Component } from "../native/types.js";
import type { TensorLayout } from "./families/family.js";

/** A linear layer that can be given an adapter. */
export interface LinearLayer {
  /** Name of its weight in the engine without ".weight", as `LoraSpec.modules` takes it. */
  readonly name: string;
  readonly component: Component;
  /**
   * Paths of its module: the first is that of its weight on the hub without ".weight", the others those of Transformers' module trees
   * since 4.52, where they differ, the earliest first. A layer that no layout names has one path, its name.
   */
  readonly paths: readonly string[];
}

/** All linear layers of a model that adapters are for, in the order of the engine's parameters. The head is none of them. */
export function linearLayers(spec: ModelSpec, layout: TensorLayout | null): LinearLayer[] {
  const tensorOf = new Map(layout?.tensors.map(({ name, parameter }) => [parameter, name]));
  return linearNames(spec).map((name) => {
    const tensor = tensorOf.get(`${name}.weight`);
    return {
      name,
      component: name.slice(0, name.indexOf(".")) as Component,
      paths: layout === null || tensor === undefined ? [name] : modulePaths(tensor, layout),
    };
  });
}

/** Every path under which releases of Transformers know the module of a weight. */
function modulePaths(tensor: string, layout: TensorLayout): string[] {
  const suffix = ".weight";
  const path = tensor.slice(0, -suffix.length);
  // How module trees have differed from the hub's names: a prefix more, parts of it in another order, a level less.
  const spellings = [
    path,
    `model.${path}`,
    path.replace(/^language_model\.model\./, "model.language_model."),
    path.replace(/^model\./, "model.language_model."),
    path.replace(/^vision_tower\.vision_model\./, "model.vision_tower."),
  ];
  return [...new Set(spellings)].filter((spelling) => layout.canonicalName(spelling + suffix) === tensor);
}

function linearNames({ vision, projector, decoder }: ModelSpec): string[] {
  const layers = (prefix: string, count: number, parts: readonly string[]) =>
    Array.from({ length: count }, (_, layer) =>
      parts.map((part) => `${prefix}.layers.${layer}.${part}`),
    ).flat();
  const visionParts =
    vision?.kind === "native_resolution"
      ? ["attention.qkv", "attention.out", "mlp.gate", "mlp.up", "mlp.down"]
      : ["attention.q", "attention.k", "attention.v", "attention.out", "mlp.up", "mlp.down"];
  const decoderParts = [
    "attention.q",
    "attention.k",
    "attention.v",
    "attention.out",
    "mlp.gate",
    "mlp.up",
    "mlp.down",
  ];
  return [
    ...(vision === null ? [] : layers("vision", vision.layers, visionParts)),
    ...(projector === null
      ? []
      : projector.hiddenWidth === null
        ? ["projector.down"]
        : ["projector.up", "projector.down"]),
    ...layers("decoder", decoder.layers, decoderParts),
  ];
}

/** A choice of layers for adapters that chooses none. */
export class LoraModulesError extends Error {
  readonly code = "INVALID_LORA_MODULES";

  constructor(pattern: string, expected: string, options?: ErrorOptions) {
    super(`lora.modules: expected ${expected}, received ${JSON.stringify(pattern)}`, options);
    this.name = "LoraModulesError";
  }
}

/**
 * The layers whose module's path, in some spelling, a pattern matches as a whole.
 *
 * @param layers of the components that may get adapters
 * @throws LoraModulesError for a pattern that is none, or that matches no layer of some component
 */
export function matchingLayers(layers: readonly LinearLayer[], pattern: string): LinearLayer[] {
  let matches: (path: string) => boolean;
  try {
    matches = fullMatch(pattern);
  } catch (cause) {
    throw new LoraModulesError(pattern, "a regular expression over the paths of modules", { cause });
  }
  const chosen = layers.filter(({ paths }) => paths.some(matches));
  for (const { component, paths } of layers) {
    if (chosen.some((layer) => layer.component === component)) continue;
    throw new LoraModulesError(
      pattern,
      `a pattern of the whole path of some linear layer of the component ${component}, e.g. ${paths[0]}`,
    );
  }
  return chosen;
}

/**
 * The pattern as PEFT understands `target_modules` that is a string: Python's `re.fullmatch` of a module's path.
 *
 * @throws SyntaxError for what is no regular expression
 */
export function fullMatch(pattern: string): (path: string) => boolean {
  // Named groups are the one thing common in such patterns that Python spells in another way.
  const expression = new RegExp(`^(?:${pattern.replaceAll("(?P<", "(?<")})$`, "s");
  return (path) => expression.test(path);
}
