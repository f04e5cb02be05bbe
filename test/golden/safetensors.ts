import { readFileSync } from "node:fs";

/** The tensors of a small safetensors file (F32 and F64 only), each flat in row-major order. */
export function readSafetensors(path: string | URL): Map<string, Float32Array | Float64Array> {
  const file = readFileSync(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; data_offsets: [number, number] }> = JSON.parse(
    file.toString("utf8", 8, 8 + headerBytes),
  );
  const tensors = new Map<string, Float32Array | Float64Array>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [begin, end] = entry.data_offsets.map((offset) => 8 + headerBytes + offset);
    // A copy, because typed arrays need an aligned start.
    const bytes = new Uint8Array(file.subarray(begin, end)).buffer;
    if (entry.dtype === "F32") tensors.set(name, new Float32Array(bytes));
    else if (entry.dtype === "F64") tensors.set(name, new Float64Array(bytes));
    else throw new Error(`${path}: expected ${name} to be F32 or F64, received ${entry.dtype}`);
  }
  return tensors;
}
