import type { Prompt, RandomKey } from "../../src/native/types.js";
import { philox } from "../../src/random.js";

/** The key of a prompt's rows and of its images' under the key of a pass; see native/engine/dropout_keys.h. */
export function promptKey(key: RandomKey, prompt: Prompt): RandomKey {
  const hash = hashOf(prompt);
  const [word0, word1] = philox([Number(hash & 0xffffffffn), Number(hash >> 32n), 1, 1], key);
  return [word0, word1];
}

/** The key of a sequence's response rows under the key of a pass. */
export function responseKey(key: RandomKey, index: number): RandomKey {
  const [word0, word1] = philox([index, 0, 0, 1], key);
  return [word0, word1];
}

const word = (1n << 64n) - 1n;

function mix(hash: bigint, value: bigint): bigint {
  const product = ((hash ^ value) * 0x9e3779b97f4a7c15n) & word;
  return product ^ (product >> 29n);
}

/** `Prompt::hash` of native/engine/prompt.cpp. */
function hashOf({ tokens, images }: Prompt): bigint {
  let hash = mix(BigInt(tokens.length), BigInt(images.length));
  for (const token of tokens) hash = mix(hash, BigInt(token));
  for (const { pixels, grid, tokens } of images) {
    let own = BigInt(pixels.length);
    const words = new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length);
    for (let i = 0; i + 1 < words.length; i += 2) {
      own = mix(own, (BigInt(words[i + 1]!) << 32n) | BigInt(words[i]!));
    }
    if (grid !== undefined) own = mix(mix(own, BigInt(grid.rows)), BigInt(grid.columns));
    for (const token of tokens ?? []) own = mix(own, BigInt(token >>> 0));
    hash = mix(hash, own);
  }
  return hash;
}
