import { loadTestingAddon } from "../testing-addon.js";

/** What the native reader says about a file. */
export interface SafetensorsDescription {
  /** In order of name. */
  tensors: { name: string; dtype: string; shape: number[] }[];
  metadata: Record<string, string>;
}

/** One tensor to write; a name of bytes may hold what no string can. */
export interface FloatTensor {
  name: string | Buffer;
  shape: number[];
  data: Float32Array;
}

export const native = loadTestingAddon<{
  parseSafetensors(contents: Uint8Array): SafetensorsDescription;
  openSafetensors(path: string): SafetensorsDescription;
  readSafetensor(path: string, name: string, count: number): Float32Array;
  writeSafetensors(path: string, tensors: FloatTensor[], metadata: Record<string, string>): void;
  /** Reads `inputs` mutations of `seeds` and, more often, of `valid` as the engine loads a model; throws for anything but a typed refusal. */
  fuzzSafetensors(
    seeds: readonly Uint8Array[],
    valid: Uint8Array,
    inputs: number,
    seed: number,
  ): { refusedHeaders: number; headers: number; refusedSets: number; loadedSets: number };
}>();

/**
 * The bytes of a safetensors file.
 *
 * @param header JSON text, or bytes that may be anything, or a value to serialise
 * @param headerBytes what the length field says; default: the truth
 */
export function fileBytes(
  header: unknown,
  data: Uint8Array = new Uint8Array(0),
  headerBytes?: bigint,
): Buffer {
  const json =
    header instanceof Uint8Array
      ? header
      : Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerBytes ?? BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

/** A header's entry for `count` floats at byte `begin`. */
export function floats(
  begin: number,
  count: number,
): { dtype: string; shape: number[]; data_offsets: number[] } {
  return { dtype: "F32", shape: [count], data_offsets: [begin, begin + 4 * count] };
}
