import { readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../train/temporary-folder.js";
import {
  type GoldenName,
  goldenModel,
  joined,
  LOG_PROB_TOLERANCE,
  loadEngine,
  relativeError,
  sequencesOf,
} from "./golden-models.js";

/** The golden model's folder with another value in `config.json`. */
function changedFolder(name: GoldenName, path: string, value: unknown): string {
  const folder = temporaryFolder();
  const golden = goldenModel(name);
  for (const file of readdirSync(golden.folder)) {
    if (file !== "config.json") symlinkSync(join(golden.folder, file), join(folder, file));
  }
  const config = JSON.parse(readFileSync(join(golden.folder, "config.json"), "utf8"));
  const keys = path.split(".");
  const last = keys.pop()!;
  const owner = keys.reduce((object, key) => object[key], config);
  expect(owner).toHaveProperty(last);
  expect(owner[last]).not.toEqual(value);
  owner[last] = value;
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  return folder;
}

// Were a setting not heeded, golden.test.ts would fail.
test.each<[GoldenName, string, unknown]>([
  ["llava", "text_config.rope_parameters.rope_theta", 110],
  ["llava", "text_config.rms_norm_eps", 1.1e-3],
  ["llava", "vision_feature_layer", -3],
  ["llava", "vision_config.hidden_act", "gelu"],
  ["llava", "vision_config.layer_norm_eps", 1e-3],
  ["llava", "projector_hidden_act", "quick_gelu"],
  ["llava-next", "text_config.rope_parameters.rope_theta", 1100],
  ["llava-next", "text_config.rms_norm_eps", 1.1e-3],
  ["llava-next", "vision_feature_layer", -1],
  ["llava-next", "vision_config.num_attention_heads", 6],
  ["llava-next-vicuna", "vision_feature_layer", -2],
  ["llava-next-vicuna", "text_config.rope_parameters.rope_theta", 55],
  ["llama-tied", "rope_parameters.rope_theta", 330],
  ["llama-tied", "rms_norm_eps", 1.1e-3],
  ["mistral", "rope_parameters.rope_theta", 330],
  ["mistral", "rms_norm_eps", 1.1e-3],
  ["qwen2", "rope_parameters.rope_theta", 440],
  ["qwen2", "rms_norm_eps", 1.1e-3],
  ["smolvlm", "text_config.rope_parameters.rope_theta", 550],
  ["smolvlm", "text_config.rms_norm_eps", 1.1e-3],
  ["smolvlm", "vision_config.hidden_act", "gelu"],
  ["smolvlm", "vision_config.layer_norm_eps", 1e-3],
  ["smolvlm", "vision_config.num_attention_heads", 4],
  ["qwen2-5-vl", "text_config.rope_parameters.rope_theta", 220],
  ["qwen2-5-vl", "text_config.rope_parameters.mrope_section", [3, 3, 2]],
  ["qwen2-5-vl", "text_config.rms_norm_eps", 1.1e-3],
  ["qwen2-5-vl", "vision_config.window_size", 112],
  ["qwen2-5-vl", "vision_config.fullatt_block_indexes", [2]],
  ["qwen2-5-vl", "vision_config.num_heads", 2],
])("%s with %s = %j computes something else", async (name, path, value) => {
  const golden = goldenModel(name);
  const folder = changedFolder(name, path, value);
  const { engine } = await loadEngine(folder);
  try {
    const { logProbs } = await engine.forward(await sequencesOf(golden, folder), { keepTape: false });
    expect(relativeError(logProbs, joined(golden, "log_probs"))).toBeGreaterThan(LOG_PROB_TOLERANCE);
  } finally {
    engine.dispose();
  }
});

test.each<[GoldenName, string, unknown]>([
  ["llama-tied", "tie_word_embeddings", false],
  ["mistral", "tie_word_embeddings", true],
  ["qwen2", "tie_word_embeddings", true],
  ["qwen2-5-vl", "tie_word_embeddings", true],
  ["llava-next", "vision_config.num_hidden_layers", 3],
  ["smolvlm", "scale_factor", 4],
])("%s with %s = %j is not what its tensors say", async (name, path, value) => {
  await expect(loadEngine(changedFolder(name, path, value))).rejects.toThrow();
});
