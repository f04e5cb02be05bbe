import { readFileSync, writeFileSync } from "node:fs";
import { fileBytes } from "./native-safetensors.js";

/** A tensor as a file holds it. */
export interface FileTensor {
  dtype: string;
  shape: readonly number[];
  bytes: Buffer;
}

export function tensorOf(dtype: string, shape: readonly number[], data: ArrayBufferView): FileTensor {
  return { dtype, shape, bytes: Buffer.from(data.buffer, data.byteOffset, data.byteLength) };
}

/** Writes a safetensors file without the code that is tested. */
export function writeTensorFile(
  path: string,
  tensors: Readonly<Record<string, FileTensor>>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): void {
  let end = 0;
  const header: Record<string, unknown> = { __metadata__: metadata };
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  writeFileSync(path, fileBytes(header, Buffer.concat(Object.values(tensors).map(({ bytes }) => bytes))));
}

/** Reads one, in the order of the file. */
export function readTensorFile(path: string): Map<string, FileTensor> {
  const file = readFileSync(path);
  const begin = 8 + Number(file.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> =
    JSON.parse(file.toString("utf8", 8, begin));
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== "__metadata__")
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [from, to],
          },
        ]) => [name, { dtype, shape, bytes: file.subarray(begin + from, begin + to) }],
      ),
  );
}

/** The numbers of an F32 tensor. */
export function floatsOf({ bytes }: FileTensor): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** To nearest, ties to even, of numbers with `digits` binary digits of which the least is 2^`least` or more, up to `largest`. */
export function rounded(x: number, digits: number, least: number, largest: number): number {
  const size = Math.abs(x);
  if (!Number.isFinite(x) || size === 0) return x;
  const quantum = 2 ** Math.max(Math.floor(Math.log2(size)) - digits + 1, least);
  const floor = Math.floor(size / quantum);
  const rest = size / quantum - floor;
  const steps = floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
  const result = steps * quantum;
  return Math.sign(x) * (result > largest ? Infinity : result);
}

export const toHalf = (x: number) => rounded(x, 11, -24, 65_504);
export const toBfloat16 = (x: number) => rounded(x, 8, -133, 3.3895313892515355e38);
