import { CheckpointError } from "./checkpoint-error.js";
import type { TensorLayout } from "./families/family.js";
import type { StoredTensor, WeightFiles } from "./weight-files.js";

/** Which tensor of a model's files is what. */
export interface TensorMapping {
  /** Tensor by parameter, for the engine. */
  readonly names: Readonly<Record<string, string>>;
  /** Tensors that the engine has no use for: those without a parameter, and tables that hold nothing learned. */
  readonly ignored: readonly string[];
  /** Tensors that are another one again, by name. */
  readonly copies: Readonly<Record<string, string>>;
  /** Every tensor of the layout that is there, by canonical name. */
  readonly byCanonicalName: ReadonlyMap<string, StoredTensor>;
}

/** Types that the engine reads parameters from. */
const floatTypes = new Set(["F32", "F16", "BF16", "F64"]);

/**
 * Accounts for every tensor of a model's files, in whichever layout of the family they are.
 *
 * @throws CheckpointError FILES_DISAGREE with all tensors that are missing, unexpected, misshaped, of another type than floats, or
 *   there twice under names of two layouts
 */
export function mapTensors(layout: TensorLayout, weights: WeightFiles): TensorMapping {
  const known = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  const byCanonicalName = new Map<string, StoredTensor>();
  const names: Record<string, string> = {};
  const ignored: string[] = [];
  const copied: [copy: string, original: string][] = [];
  const problems: string[] = [];
  for (const stored of weights.tensors.values()) {
    const canonical = layout.canonicalName(stored.name);
    if (canonical === null) {
      ignored.push(stored.name);
      continue;
    }
    const twin = byCanonicalName.get(canonical);
    if (twin !== undefined) {
      problems.push(`twice: ${stored.name} is ${twin.name} of another layout`);
      continue;
    }
    const tensor = known.get(canonical);
    const original = layout.copies[canonical];
    if (tensor === undefined && original !== undefined) {
      copied.push([stored.name, original]);
      continue;
    }
    if (tensor === undefined) {
      problems.push(`unexpected: ${stored.name} ${shapeText(stored.shape)}`);
      continue;
    }
    byCanonicalName.set(canonical, stored);
    if (!sameShape(stored.shape, tensor.shape)) {
      problems.push(
        `misshaped: ${stored.name} is ${shapeText(stored.shape)}, expected ${shapeText(tensor.shape)}`,
      );
    }
    if (tensor.parameter === null) {
      ignored.push(stored.name);
      continue;
    }
    names[tensor.parameter] = stored.name;
    if (!floatTypes.has(stored.dtype)) {
      problems.push(`not of floats: ${stored.name} is ${stored.dtype}, expected F32, F16, BF16 or F64`);
    }
  }
  for (const { name, shape, parameter } of layout.tensors) {
    if (parameter !== null && !byCanonicalName.has(name))
      problems.push(`missing: ${name} ${shapeText(shape)}`);
  }
  if (problems.length > 0) {
    const list = problems.map((problem) => `\n  ${problem}`).join("");
    throw new CheckpointError(
      "FILES_DISAGREE",
      weights.folder,
      `the tensors are not those that config.json describes:${list}`,
    );
  }
  // The original is there, or it would be missing.
  const copies = Object.fromEntries(
    copied.map(([copy, original]) => [copy, byCanonicalName.get(original)!.name]),
  );
  return { names, ignored, copies, byCanonicalName };
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

const shapeText = (shape: readonly number[]) => `(${shape.join(", ")})`;
