/**
 * Writes the decoder of a model as GGUF, the file format of llama.cpp, so that llama.cpp computes with the same
 * weights. Vision encoder, projector and value head are left out.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3, little-endian: header, metadata,
 * table of tensors, then the tensors' data, each at a multiple of `alignment` bytes.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";

/** Bytes; the format's default, so the metadata need not state it. */
const alignment = 32;

/** The format's numbers for the types of metadata values that are used here. */
const metadataTypes = { uint32: 4, float32: 6, string: 8 };

/** Per precision: the tensor type, its `general.file_type`, and the rounding from fp32 to it. */
const precisions = {
  fp32: { tensorType: 0, fileType: 0, bytes: 4, round: (values) => values },
  fp16: { tensorType: 1, fileType: 1, bytes: 2, round: roundToFp16 },
  bf16: { tensorType: 30, fileType: 32, bytes: 2, round: roundToBf16 },
};

/**
 * Converts weights to a GGUF file of architecture "llama" without a tokenizer: prompts are token ids. Matrices take
 * the given precision, rounded to nearest, ties to even; norm weights stay fp32, which is all that llama.cpp
 * takes there. The embeddings are stored times `embeddingScale`, since the architecture knows no such factor.
 *
 * One tensor at a time is in memory. What stands at `target` is replaced; after an error it is not a whole file.
 *
 * @param {object} options
 * @param {string} options.source  safetensors file as `Engine.save` writes it (F32)
 * @param {string} options.target  GGUF file
 * @param {import("../../src/native/types.js").ModelSpec} options.model
 * @param {"fp32" | "fp16" | "bf16"} options.precision  of the matrices
 * @throws {Error} for a precision that is not one of these, for a source without a tensor of the decoder or with one
 *   of another type or shape, or for a file that cannot be read or written
 */
export function writeGguf({ source, target, model, precision }) {
  if (!Object.hasOwn(precisions, precision)) {
    throw new Error(
      `precision: expected one of ${Object.keys(precisions).join(", ")}, received ${JSON.stringify(precision)}`,
    );
  }
  const { decoder } = model;
  const tensors = decoderTensors(decoder).map((tensor) => ({
    ...tensor,
    stored: precisions[tensor.shape.length === 1 ? "fp32" : precision],
  }));
  const weights = openSafetensors(source);
  try {
    const file = openSync(target, "w");
    try {
      writeAll(file, padded(header(metadata(decoder, precisions[precision].fileType), tensors)));
      for (const { from, shape, change, stored } of tensors) {
        const values = weights.read(from, shape);
        change?.(values);
        const { buffer, byteOffset, byteLength } = stored.round(values);
        writeAll(file, padded(Buffer.from(buffer, byteOffset, byteLength)));
      }
    } finally {
      closeSync(file);
    }
  } finally {
    weights.close();
  }
}

/**
 * The decoder's tensors in file order: the name in safetensors (`from`) and in GGUF (`name`), the shape (rows, columns) or
 * (columns), and what is done to the values, in place, before they are rounded.
 */
function decoderTensors({
  vocabularySize,
  width,
  layers,
  heads,
  keyValueHeads,
  headSize,
  mlpWidth,
  embeddingScale,
}) {
  const q = heads * headSize;
  const kv = keyValueHeads * headSize;
  const scale = (values) => {
    for (let i = 0; i < values.length; ++i) values[i] *= embeddingScale;
  };
  const interleave = (values) => interleaveHalves(values, headSize, width);
  const layer = (i) =>
    [
      ["norm1", "attn_norm", [width]],
      ["attention.q", "attn_q", [q, width], interleave],
      ["attention.k", "attn_k", [kv, width], interleave],
      ["attention.v", "attn_v", [kv, width]],
      ["attention.out", "attn_output", [width, q]],
      ["norm2", "ffn_norm", [width]],
      ["mlp.gate", "ffn_gate", [mlpWidth, width]],
      ["mlp.up", "ffn_up", [mlpWidth, width]],
      ["mlp.down", "ffn_down", [width, mlpWidth]],
    ].map(([from, name, shape, change]) => ({
      from: `decoder.layers.${i}.${from}.weight`,
      name: `blk.${i}.${name}.weight`,
      shape,
      change,
    }));
  return [
    {
      from: "decoder.embed.weight",
      name: "token_embd.weight",
      shape: [vocabularySize, width],
      change: scale,
    },
    ...Array.from({ length: layers }, (_, i) => layer(i)).flat(),
    { from: "decoder.norm.weight", name: "output_norm.weight", shape: [width] },
    { from: "decoder.head.weight", name: "output.weight", shape: [vocabularySize, width] },
  ];
}

/**
 * llama.cpp's "llama" rotates the rows 2k and 2k + 1 of a head where the engine rotates k and k + headSize / 2. With rows in
 * the order 0, D/2, 1, D/2 + 1, ... both give the same attention scores, as q and k are reordered alike.
 *
 * @param {Float32Array} values  (heads * headSize, width), reordered in place
 */
function interleaveHalves(values, headSize, width) {
  const half = headSize / 2;
  const original = values.slice();
  for (let row = 0; row < values.length / width; ++row) {
    const r = row % headSize;
    const from = row - r + Math.floor(r / 2) + (r % 2) * half;
    values.set(original.subarray(from * width, (from + 1) * width), row * width);
  }
}

/** Key, type and value of each metadata entry. */
function metadata(decoder, fileType) {
  return [
    ["general.architecture", "string", "llama"],
    ["general.file_type", "uint32", fileType],
    ["llama.vocab_size", "uint32", decoder.vocabularySize],
    ["llama.context_length", "uint32", decoder.maxPositions],
    ["llama.embedding_length", "uint32", decoder.width],
    ["llama.block_count", "uint32", decoder.layers],
    ["llama.feed_forward_length", "uint32", decoder.mlpWidth],
    ["llama.attention.head_count", "uint32", decoder.heads],
    ["llama.attention.head_count_kv", "uint32", decoder.keyValueHeads],
    ["llama.attention.key_length", "uint32", decoder.headSize],
    ["llama.attention.value_length", "uint32", decoder.headSize],
    ["llama.attention.layer_norm_rms_epsilon", "float32", decoder.normEpsilon],
    ["llama.rope.dimension_count", "uint32", decoder.headSize],
    ["llama.rope.freq_base", "float32", decoder.ropeTheta],
    // llama.cpp then makes up `vocab_size` tokens without text, none of which ends a response.
    ["tokenizer.ggml.model", "string", "none"],
  ];
}

/** Everything before the data: magic, version, counts, metadata, and the tensors' names, shapes, types and offsets. */
function header(entries, tensors) {
  const parts = [Buffer.from("GGUF"), uint32(3), uint64(tensors.length), uint64(entries.length)];
  const encode = { uint32, float32, string };
  for (const [key, type, value] of entries)
    parts.push(string(key), uint32(metadataTypes[type]), encode[type](value));
  // From the start of the data.
  let offset = 0;
  for (const { name, shape, stored } of tensors) {
    // The format lists the fastest dimension first.
    const dimensions = shape.toReversed().map(uint64);
    parts.push(string(name), uint32(shape.length), ...dimensions, uint32(stored.tensorType), uint64(offset));
    offset += alignedSize(shape.reduce((a, b) => a * b) * stored.bytes);
  }
  return Buffer.concat(parts);
}

function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function float32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

/** Length in bytes, then UTF-8 without a terminator. */
function string(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

const alignedSize = (bytes) => Math.ceil(bytes / alignment) * alignment;

const padded = (bytes) =>
  bytes.length % alignment === 0
    ? bytes
    : Buffer.concat([bytes, Buffer.alloc(alignedSize(bytes.length) - bytes.length)]);

/** `writeSync` may take only a part of a large buffer. */
function writeAll(file, bytes) {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}

function readAll(file, bytes, position) {
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(file, bytes, done, bytes.length - done, position + done);
    if (count === 0) throw new Error(`source: expected ${bytes.length - done} more bytes, the file ends`);
    done += count;
  }
  return bytes;
}

/**
 * @param {string} path
 * @returns {{ read(name: string, shape: number[]): Float32Array, close(): void }} `read` returns a copy
 */
function openSafetensors(path) {
  const file = openSync(path, "r");
  try {
    const headerBytes = Number(readAll(file, Buffer.alloc(8), 0).readBigUInt64LE());
    const entries = JSON.parse(readAll(file, Buffer.alloc(headerBytes), 8).toString());
    const read = (name, shape) => {
      const expected = `F32 of shape (${shape.join(", ")})`;
      const entry = entries[name];
      const received = entry ? `${entry.dtype} of shape (${entry.shape.join(", ")})` : "no such tensor";
      if (received !== expected) {
        throw new Error(
          `source: expected ${name} as ${expected}, received ${received}; save the model with Engine.save and pass its ModelSpec`,
        );
      }
      const values = new Float32Array(shape.reduce((a, b) => a * b));
      readAll(file, new Uint8Array(values.buffer), 8 + headerBytes + entry.data_offsets[0]);
      return values;
    };
    return { read, close: () => closeSync(file) };
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** bf16 is the upper half of fp32. NaN stays NaN. */
function roundToBf16(values) {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const rounded = new Uint16Array(values.length);
  for (let i = 0; i < values.length; ++i) {
    const x = bits[i];
    const isNan = (x & 0x7fffffff) > 0x7f800000;
    rounded[i] = isNan ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return rounded;
}

/** 1 / (unit in the last place) of fp16, for the exponents -14 (which subnormal numbers share) to 15. */
const inverseUnits = Float64Array.from({ length: 30 }, (_, i) => 2 ** (24 - i));

/** Adding and subtracting it rounds a smaller positive double to an integer, ties to even. */
const integerRounding = 2 ** 52;

/** Too large numbers become infinite. NaN stays NaN. */
function roundToFp16(values) {
  const rounded = new Uint16Array(values.length);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; ++i) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const field = Math.max(((bits[i] >>> 23) & 0xff) - 113, 0);
    let magnitude = Number.isNaN(values[i]) ? 0x7e00 : 0x7c00;
    if (field < inverseUnits.length) {
      const significand = Math.abs(values[i]) * inverseUnits[field] + integerRounding - integerRounding;
      // The leading bit of a normal significand adds one to the exponent's field, and so does a carry.
      magnitude = (field << 10) + significand;
    }
    rounded[i] = sign | magnitude;
  }
  return rounded;
}
