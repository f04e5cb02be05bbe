import { readFileSync } from "node:fs";

export interface GgufTensor {
  name: string;
  /** As stored: the fastest dimension first. */
  dimensions: number[];
  /** The format's number for the element type. */
  type: number;
  /** From the start of the data, in bytes. */
  offset: number;
}

export interface GgufFile {
  version: number;
  metadata: Record<string, number | string>;
  tensors: GgufTensor[];
  /** All that follows the table of tensors and its padding. */
  data: Buffer;
}

/** Reads a GGUF file with the default alignment of 32 bytes and metadata of uint32, float32 and string. */
export function readGguf(path: string): GgufFile {
  const file = readFileSync(path);
  let at = 0;
  const advance = (bytes: number) => {
    at += bytes;
    return at - bytes;
  };
  const uint32 = () => file.readUInt32LE(advance(4));
  const uint64 = () => Number(file.readBigUInt64LE(advance(8)));
  const string = () => {
    const length = uint64();
    return file.toString("utf8", advance(length), at);
  };
  const magic = file.toString("latin1", advance(4), at);
  if (magic !== "GGUF") throw new Error(`expected the magic GGUF, received ${magic}`);
  const version = uint32();
  const tensorCount = uint64();
  const metadataCount = uint64();
  const metadata = Object.fromEntries(
    Array.from({ length: metadataCount }, () => {
      const key = string();
      const type = uint32();
      if (type === 4) return [key, uint32()];
      if (type === 6) return [key, file.readFloatLE(advance(4))];
      if (type === 8) return [key, string()];
      throw new Error(`${key}: unexpected type ${type}`);
    }),
  );
  const tensors = Array.from({ length: tensorCount }, () => ({
    name: string(),
    dimensions: Array.from({ length: uint32() }, uint64),
    type: uint32(),
    offset: uint64(),
  }));
  return { version, metadata, tensors, data: file.subarray(Math.ceil(at / 32) * 32) };
}
