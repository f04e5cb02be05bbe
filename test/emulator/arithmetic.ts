import { addressesByThread, ptxModule, run } from "./ptx.js";

export type Type = "u8" | "s8" | "u16" | "s16" | "u32" | "s32" | "u64" | "s64" | "f32" | "f64";
export type Value = number | bigint;

/** One instruction: `text` with $d for the result and $a, $b, ... for the sources, and what it computes in every lane. */
export interface InstructionCase {
  text: string;
  result: Type;
  sources: Type[];
  reference: (...sources: never[]) => Value;
  /** Largest relative error; default none, not a bit. */
  tolerance?: number;
}

const arrays = {
  u8: Uint8Array,
  s8: Int8Array,
  u16: Uint16Array,
  s16: Int16Array,
  u32: Uint32Array,
  s32: Int32Array,
  u64: BigUint64Array,
  s64: BigInt64Array,
  f32: Float32Array,
  f64: Float64Array,
};

const sizes: Record<Type, number> = {
  u8: 1,
  s8: 1,
  u16: 2,
  s16: 2,
  u32: 4,
  s32: 4,
  u64: 8,
  s64: 8,
  f32: 4,
  f64: 8,
};

/** Corner values of a type. */
function corners(type: Type): Value[] {
  switch (type) {
    case "f32":
    case "f64":
      return [
        0,
        -0,
        1,
        -1,
        0.5,
        -2.5,
        1.5,
        3.7,
        -3.7,
        1e10,
        -1e10,
        3e38,
        1e-40,
        -1e-40,
        Infinity,
        -Infinity,
        NaN,
        2 ** 31,
        88.5,
      ];
    default: {
      const bits = BigInt(8 * sizes[type]);
      const raw = [
        0n,
        1n,
        2n,
        3n,
        5n,
        31n,
        32n,
        33n,
        255n,
        256n,
        -1n,
        -2n,
        -7n,
        (1n << (bits - 1n)) - 1n,
        1n << (bits - 1n),
      ];
      const wrapped = raw.map((x) =>
        type[0] === "s" ? BigInt.asIntN(Number(bits), x) : BigInt.asUintN(Number(bits), x),
      );
      return sizes[type] === 8 ? wrapped : wrapped.map(Number);
    }
  }
}

/** A small generator of 32-bit numbers, the same in every run. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}

function sourceValues(type: Type, count: number, source: number): Value[] {
  const special = corners(type);
  const next = generator(12345 + source);
  return Array.from({ length: count }, (_, k) => {
    // Every pair of corner values of two sources comes up, and random values behind them.
    const index = source === 0 ? k : Math.floor(k / special.length) + source * k;
    if (k < special.length * special.length) return special[index % special.length]!;
    const word = next();
    if (type === "f32" || type === "f64") return ((word / 2 ** 32) * 2 - 1) * 2 ** ((next() % 40) - 20);
    const array = new arrays[type](1) as unknown as Value[];
    array[0] = sizes[type] === 8 ? (BigInt(word) << 32n) | BigInt(next()) : word;
    return array[0]!;
  });
}

const blocks = 8;
const threadsPerBlock = 96;

/**
 * Runs the instruction in 768 threads over corner and random values.
 *
 * @returns descriptions of the lanes that differ from the reference
 */
export function differences(instruction: InstructionCase): string[] {
  const { result, sources, tolerance } = instruction;
  const count = blocks * threadsPerBlock;
  const inputs = sources.map((type, k) => sourceValues(type, count, k));
  const buffers = inputs.map((values, k) => {
    const array = new arrays[sources[k]!](count) as unknown as Value[];
    values.forEach((value, at) => {
      array[at] = value;
    });
    return array;
  });
  const output = new arrays[result](count) as unknown as Value[];
  const register = (type: Type, k: number) =>
    type === "f32"
      ? `%f${k}`
      : type === "f64"
        ? `%fd${k}`
        : sizes[type] === 8
          ? `%rd${k + 20}`
          : sizes[type] === 4
            ? `%r${k + 20}`
            : `%rs${k}`;
  let text = instruction.text.replaceAll("$d", register(result, 10));
  const loads = sources.map((type, k) => {
    text = text.replaceAll(`$${"abcd"[k]}`, register(type, k));
    return `  ld.global.${type} ${register(type, k)}, [%rd${k}];`;
  });
  const ptx = ptxModule(
    [...sources, result].map(() => "u64"),
    `${addressesByThread([...sources, result].map((type) => sizes[type]))}
${loads.join("\n")}
  ${text}
  st.global.${result === "f32" || result === "f64" ? result : `b${8 * sizes[result]}`} [%rd${sources.length}], ${register(result, 10)};`,
  );
  const buffer = (array: unknown) => ({ buffer: array as NodeJS.TypedArray });
  run(ptx, { grid: [blocks], block: [threadsPerBlock] }, [
    ...buffers.map(buffer),
    { ...buffer(output), initialised: false },
  ]);
  const wrong: string[] = [];
  const expected = new arrays[result](1) as unknown as Value[];
  for (let k = 0; k < count; k++) {
    const values = buffers.map((array) => array[k]!);
    expected[0] = instruction.reference(...(values as never[]));
    const received = output[k]!;
    const close =
      tolerance !== undefined &&
      Math.abs(Number(received) - Number(expected[0])) <= tolerance * Math.abs(Number(expected[0]));
    if (!Object.is(received, expected[0]) && !close)
      wrong.push(`(${values.join(", ")}): expected ${expected[0]}, received ${received}`);
  }
  return wrong.slice(0, 5);
}
