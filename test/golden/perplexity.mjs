// The engine's perplexity of a text, beside the one that convert_gguf.py prints, and a greedy answer.
//
//     npm run build && node test/golden/perplexity.mjs <folder> <text file> [question]
import { readFileSync } from "node:fs";
import { VlmPolicy } from "../../dist/src/index.js";

const [folder, file, question = "What is the capital of France?"] = process.argv.slice(2);
const policy = await VlmPolicy.load(folder, { trainable: { decoder: "frozen" } });
// Without the token that ends an answer.
const tokens = policy.encodeResponse(readFileSync(file, "utf8")).slice(0, -1);
const prompt = { tokens: tokens.slice(0, 1), images: [] };
const { logProbs } = await policy.score([{ prompt, response: tokens.slice(1) }], { keepTape: false });
const mean = logProbs.reduce((sum, logProb) => sum + logProb, 0) / logProbs.length;
process.stdout.write(`${tokens.length} tokens, perplexity ${Math.exp(-mean).toFixed(6)}\n`);

const answer = await policy.respond(policy.encode(null, question), {
  sampling: { temperature: 0 },
  randomKey: [0, 0],
  maxNewTokens: 48,
});
process.stdout.write(`${question}\n${answer.text}\n`);
policy.dispose();
