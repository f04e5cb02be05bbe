/** Names and shapes of tensors that several families share. */
import type { DecoderSpec, FixedResolutionSpec, ModelSpec } from "../../native/model-spec.js";
import type { CheckpointTensor, TensorLayout } from "./family.js";

/** A tensor whose parameter goes by the same or another name, and that holds its numbers in the shape of the files. */
export function tensor(name: string, parameter: string | null, ...shape: number[]): CheckpointTensor {
  return { name, shape, parameter };
}

/** A weight of the shape (outputs, inputs) and, if there is one, its bias. */
export function linear(
  name: string,
  parameter: string | null,
  outputs: number,
  inputs: number,
  hasBias: boolean,
): CheckpointTensor[] {
  const part = (suffix: string) => (parameter === null ? null : `${parameter}.${suffix}`);
  return [
    tensor(`${name}.weight`, part("weight"), outputs, inputs),
    ...(hasBias ? [tensor(`${name}.bias`, part("bias"), outputs)] : []),
  ];
}

/** Weight and bias of a LayerNorm. */
export function layerNorm(name: string, parameter: string | null, width: number): CheckpointTensor[] {
  return ["weight", "bias"].map((part) =>
    tensor(`${name}.${part}`, parameter === null ? null : `${parameter}.${part}`, width),
  );
}

/**
 * A decoder of the Llama kind.
 *
 * @param model prefix of everything but the head
 * @param head name of the head's weight; a tied head has none
 */
export function decoderTensors(spec: DecoderSpec, model: string, head: string): CheckpointTensor[] {
  const { width, heads, keyValueHeads, headSize, mlpWidth, qkvBias, vocabularySize } = spec;
  const layers = Array.from({ length: spec.layers }, (_, index) => {
    const name = `${model}layers.${index}.`;
    const parameter = `decoder.layers.${index}.`;
    const attention = (from: string, to: string, outputs: number, inputs: number, hasBias: boolean) =>
      linear(`${name}self_attn.${from}_proj`, `${parameter}attention.${to}`, outputs, inputs, hasBias);
    const mlp = (part: string, outputs: number, inputs: number) =>
      linear(`${name}mlp.${part}_proj`, `${parameter}mlp.${part}`, outputs, inputs, false);
    return [
      tensor(`${name}input_layernorm.weight`, `${parameter}norm1.weight`, width),
      ...attention("q", "q", heads * headSize, width, qkvBias),
      ...attention("k", "k", keyValueHeads * headSize, width, qkvBias),
      ...attention("v", "v", keyValueHeads * headSize, width, qkvBias),
      ...attention("o", "out", width, heads * headSize, false),
      tensor(`${name}post_attention_layernorm.weight`, `${parameter}norm2.weight`, width),
      ...mlp("gate", mlpWidth, width),
      ...mlp("up", mlpWidth, width),
      ...mlp("down", width, mlpWidth),
    ];
  });
  return [
    tensor(`${model}embed_tokens.weight`, "decoder.embed.weight", vocabularySize, width),
    ...layers.flat(),
    tensor(`${model}norm.weight`, "decoder.norm.weight", width),
    ...(spec.tiedHead ? [] : [tensor(head, "decoder.head.weight", vocabularySize, width)]),
  ];
}

/** The copy that files of a model with a tied head may hold. */
export function tiedHeadCopy({ decoder }: ModelSpec, model: string, head: string): TensorLayout["copies"] {
  return decoder.tiedHead ? { [head]: `${model}embed_tokens.weight` } : {};
}

/**
 * An encoder of the ViT kind as CLIP and SigLIP are published.
 *
 * @param model prefix of everything
 * @param publishedLayers blocks that files hold; those behind `spec.layers` are not computed, as is the norm behind them
 */
export function fixedResolutionTensors(
  spec: FixedResolutionSpec,
  model: string,
  publishedLayers: number,
): CheckpointTensor[] {
  const { width, mlpWidth, channels, patchSize, imageSize } = spec;
  const positions = (imageSize / patchSize) ** 2 + (spec.classToken ? 1 : 0);
  const layers = Array.from({ length: publishedLayers }, (_, index) => {
    const name = `${model}encoder.layers.${index}.`;
    const of = (part: string) => (index < spec.layers ? `vision.layers.${index}.${part}` : null);
    const projection = (part: string) =>
      linear(`${name}self_attn.${part}_proj`, of(`attention.${part}`), width, width, true);
    return [
      ...layerNorm(`${name}layer_norm1`, of("norm1"), width),
      ...["q", "k", "v", "out"].flatMap(projection),
      ...layerNorm(`${name}layer_norm2`, of("norm2"), width),
      ...linear(`${name}mlp.fc1`, of("mlp.up"), mlpWidth, width, true),
      ...linear(`${name}mlp.fc2`, of("mlp.down"), width, mlpWidth, true),
    ];
  });
  const patch = `${model}embeddings.patch_embedding`;
  return [
    ...(spec.classToken ? [tensor(`${model}embeddings.class_embedding`, "vision.class_token", width)] : []),
    tensor(`${patch}.weight`, "vision.patch_embed.weight", width, channels, patchSize, patchSize),
    ...(spec.patchBias ? [tensor(`${patch}.bias`, "vision.patch_embed.bias", width)] : []),
    tensor(`${model}embeddings.position_embedding.weight`, "vision.position", positions, width),
    // The spelling of the files.
    ...(spec.inputNorm ? layerNorm(`${model}pre_layrnorm`, "vision.input_norm", width) : []),
    ...layers.flat(),
    ...layerNorm(`${model}post_layernorm`, spec.outputNorm ? "vision.norm" : null, width),
  ];
}

/** How names of one layout become those of the hub: the first pattern that matches is replaced; null: nothing learned. */
export type Rewrite = readonly [pattern: RegExp, replacement: string | null];

/** Tables that old releases of Transformers wrote beside the weights. */
const tables: Rewrite = [/(^|\.)(position_ids|inv_freq)$/, null];

/** `TensorLayout.canonicalName` by rewriting. */
export function rewriting(rewrites: readonly Rewrite[]): TensorLayout["canonicalName"] {
  return (name) => {
    for (const [pattern, replacement] of [tables, ...rewrites]) {
      if (pattern.test(name)) return replacement === null ? null : name.replace(pattern, replacement);
    }
    return name;
  };
}
