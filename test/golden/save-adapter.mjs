// Saves an adapter after two steps of training a golden model, and what the engine computes with it, for check_adapters.py.
//
//     node test/golden/save-adapter.mjs <model> <folder>
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VlmPolicy } from "../../dist/src/index.js";

const [name, target] = process.argv.slice(2);
const folder = fileURLToPath(new URL(`models/${name}`, import.meta.url));
const [{ text, frames, response, tokens, settings }] = JSON.parse(
  readFileSync(join(folder, "case.json"), "utf8"),
).cases;

/** The frame of image-pattern.ts. */
function imagePattern(width, height) {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [c, x, y] = [i % 3, Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    const edges = (Math.floor(x / 17) + Math.floor(y / 23)) % 2;
    return 7 * y + 13 * x + 29 * c + 5 * ((x * y) % 11) + 90 * edges;
  });
  return { width, height, data };
}

const components = frames.length > 0 ? ["vision", "projector", "decoder"] : ["decoder"];
const policy = await VlmPolicy.load(folder, {
  images: settings,
  trainable: Object.fromEntries(components.map((component) => [component, "lora"])),
  lora: { rank: 3, alpha: 5 },
  threads: 1,
});
const prompt = policy.encode(frames[0] ? imagePattern(...frames[0]) : null, text);
if (prompt.tokens.join() !== tokens.join()) throw new Error("expected the processor's prompt");
const sequences = [{ prompt, response: Int32Array.from(response) }];
for (let step = 0; step < 2; step++) {
  const scores = await policy.score(sequences);
  await policy.backward(scores, { logProbs: new Float32Array(response.length).fill(-1) });
  await policy.step({ groups: [{ components, learningRate: 0.03 }] });
}
const { logProbs } = await policy.score(sequences, { keepTape: false });
await policy.saveCheckpoint(target);
writeFileSync(join(target, "log_probs.json"), JSON.stringify([...logProbs]));
policy.dispose();
