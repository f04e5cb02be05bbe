import { z } from "zod";
import type { FixedResolutionSpec, ModelSpec } from "../../native/model-spec.js";
import type { ImageArrangement } from "../image-views.js";
import { activation, count, problemsUnder, tieFlags, tokenId, unquantized } from "./config-parts.js";
import { type Family, type ModelMapping, publishedValueHead, type TensorLayout } from "./family.js";
import { decoderTensors, fixedResolutionTensors, rewriting, tensor, tiedHeadCopy } from "./tensors.js";
import { readTextConfig } from "./text-config.js";

const visionFile = z.looseObject({
  hidden_size: count.default(1152),
  intermediate_size: count.default(3072),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(16),
  num_channels: z.literal(3).default(3),
  image_size: count.default(224),
  patch_size: count.default(32),
  hidden_act: activation.prefault("gelu_pytorch_tanh"),
  layer_norm_eps: z.number().positive().default(1e-6),
});

/** Idefics3, SmolVLM and SmolVLM2 (arXiv 2408.12637, 2504.05299): SigLIP, squares of features side by side, one linear layer. */
export const smolVlm: Family = {
  modelTypes: ["idefics3", "smolvlm"],
  config: z
    .looseObject({
      model_type: z.enum(["idefics3", "smolvlm"]),
      vision_config: visionFile.prefault({}),
      text_config: z.looseObject({ model_type: z.literal("llama").default("llama") }).nullish(),
      image_token_id: tokenId.default(128_257),
      scale_factor: count.default(2),
      ...tieFlags,
      ...unquantized,
    })
    .transform((file, context): ModelMapping => {
      const textModel = readTextConfig(file, "llama", file.tie_word_embeddings ?? false, context);
      const vision = siglipEncoder(file.vision_config, file.scale_factor, context);
      if (context.issues.length > 0) return z.NEVER;
      const spec: ModelSpec = {
        vision,
        projector: {
          mergeSize: file.scale_factor,
          normEpsilon: null,
          hiddenWidth: null,
          activation: "gelu",
          bias: false,
          newline: false,
        },
        ...textModel,
        valueHead: publishedValueHead,
        imageTokenId: file.image_token_id,
      };
      return { spec, layout: layoutOf(spec), image: { token: "<image>", views: ["split"], text: imageText } };
    }),
};

/** Pixels that fill no patch, at the right and the bottom, are not seen: 6 of 384 with patches of 14. */
function siglipEncoder(
  file: z.output<typeof visionFile>,
  scale: number,
  context: z.core.$RefinementCtx,
): FixedResolutionSpec {
  const problem = problemsUnder(context, (key) => (key in file ? ["vision_config"] : []));
  const side = Math.floor(file.image_size / file.patch_size);
  if (side % scale !== 0 || side === 0) {
    problem(["scale_factor"], `expected a divisor of the patches on a side, ${side}, received ${scale}`);
  }
  if (file.hidden_size % file.num_attention_heads !== 0) {
    problem(
      ["num_attention_heads"],
      `expected a divisor of hidden_size = ${file.hidden_size}, received ${file.num_attention_heads}`,
    );
  }
  return {
    kind: "fixed_resolution",
    imageSize: side * file.patch_size,
    channels: file.num_channels,
    patchSize: file.patch_size,
    patchBias: true,
    classToken: false,
    inputNorm: false,
    outputNorm: true,
    width: file.hidden_size,
    layers: file.num_hidden_layers,
    heads: file.num_attention_heads,
    mlpWidth: file.intermediate_size,
    activation: file.hidden_act,
    normEpsilon: file.layer_norm_eps,
  };
}

const decoderPrefix = "model.text_model.";
const head = "lm_head.weight";

function layoutOf(spec: ModelSpec): TensorLayout {
  const vision = spec.vision as FixedResolutionSpec;
  const merged = vision.width * spec.projector!.mergeSize ** 2;
  const projection = "model.connector.modality_projection.proj.weight";
  return {
    tensors: [
      ...fixedResolutionTensors(vision, "model.vision_model.", vision.layers),
      tensor(projection, "projector.down.weight", spec.decoder.width, merged),
      ...decoderTensors(spec.decoder, decoderPrefix, head),
    ],
    copies: tiedHeadCopy(spec, decoderPrefix, head),
    canonicalName: rewriting([]),
  };
}

/** Tiles by row and column, a line per row, then the whole frame. */
function imageText(arrangement: ImageArrangement): string {
  const { rows, columns } = arrangement as Extract<ImageArrangement, { kind: "split" }>;
  const around = "<fake_token_around_image>";
  const tiles = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns }, (_, column) => `${around}<row_${row + 1}_col_${column + 1}><image>`),
  );
  const lines = tiles.map((line) => `${line.join("")}\n`).join("");
  return `${lines}${rows > 0 ? "\n" : ""}${around}<global-img><image>${around}`;
}
