import { describe, expect, test } from "vitest";
import { differences, type InstructionCase, type Type } from "./arithmetic.js";
import { isas, onIsa } from "./ptx.js";

const bits: Record<string, number> = { u8: 8, s8: 8, u16: 16, s16: 16, u32: 32, s32: 32, u64: 64, s64: 64 };
const wrap = (type: Type, x: bigint) =>
  type[0] === "s" ? BigInt.asIntN(bits[type]!, x) : BigInt.asUintN(bits[type]!, x);
const value = (type: Type, x: bigint) => (bits[type] === 64 ? wrap(type, x) : Number(wrap(type, x)));

const cases: InstructionCase[] = [];
const add = (
  text: string,
  result: Type,
  sources: Type[],
  reference: (...s: never[]) => number | bigint,
  tolerance?: number,
) => cases.push({ text, result, sources, reference, ...(tolerance === undefined ? {} : { tolerance }) });

/** An integer instruction whose result is wrapped to its type; the reference works on big integers. */
function integer(text: string, result: Type, sources: Type[], reference: (...s: bigint[]) => bigint) {
  add(text, result, sources, (...s: never[]) => value(result, reference(...s.map((x) => BigInt(x)))));
}

for (const type of ["u16", "s16", "u32", "s32", "u64", "s64"] as const) {
  const binary = (name: string, f: (a: bigint, b: bigint) => bigint) =>
    integer(`${name}.${type} $d, $a, $b;`, type, [type, type], f);
  binary("add", (a, b) => a + b);
  binary("sub", (a, b) => a - b);
  binary("mul.lo", (a, b) => a * b);
  binary("mul.hi", (a, b) => (a * b) >> BigInt(bits[type]!));
  binary("min", (a, b) => (a < b ? a : b));
  binary("max", (a, b) => (a > b ? a : b));
  // A GPU gives all ones and the dividend where the divisor is zero.
  binary("div", (a, b) => (b === 0n ? -1n : a / b));
  binary("rem", (a, b) => (b === 0n ? a : a % b));
  integer(`mad.lo.${type} $d, $a, $b, $c;`, type, [type, type, type], (a, b, c) => a * b + c);
  integer(`setp.lt.${type} %p0, $a, $b; selp.${type} $d, $b, $a, %p0;`, type, [type, type], (a, b) =>
    a < b ? b : a,
  );
  integer(`shr.${type} $d, $a, $b;`, type, [type, "u32"], (a, by) =>
    by >= 64n ? (a < 0n ? -1n : 0n) : a >> by,
  );
}
for (const type of ["s16", "s32", "s64"] as const) {
  integer(`neg.${type} $d, $a;`, type, [type], (a) => -a);
  integer(`abs.${type} $d, $a;`, type, [type], (a) => (a < 0n ? -a : a));
}
integer("mul.wide.s32 $d, $a, $b;", "s64", ["s32", "s32"], (a, b) => a * b);
integer("mul.wide.u32 $d, $a, $b;", "u64", ["u32", "u32"], (a, b) => a * b);
integer("mul.wide.u16 $d, $a, $b;", "u32", ["u16", "u16"], (a, b) => a * b);
integer("mad.wide.s32 $d, $a, $b, $c;", "s64", ["s32", "s32", "s64"], (a, b, c) => a * b + c);

for (const [width, type] of [
  [16, "u16"],
  [32, "u32"],
  [64, "u64"],
] as const) {
  integer(`and.b${width} $d, $a, $b;`, type, [type, type], (a, b) => a & b);
  integer(`or.b${width} $d, $a, $b;`, type, [type, type], (a, b) => a | b);
  integer(`xor.b${width} $d, $a, $b;`, type, [type, type], (a, b) => a ^ b);
  integer(`not.b${width} $d, $a;`, type, [type], (a) => ~a);
  integer(`shl.b${width} $d, $a, $b;`, type, [type, "u32"], (a, by) => (by >= BigInt(width) ? 0n : a << by));
}
integer("popc.b64 $d, $a;", "u32", ["u64"], (a) => BigInt(a.toString(2).replaceAll("0", "").length));
integer("clz.b32 $d, $a;", "u32", ["u32"], (a) => BigInt(Math.clz32(Number(a))));
integer("brev.b32 $d, $a;", "u32", ["u32"], (a) =>
  BigInt(`0b${a.toString(2).padStart(32, "0").split("").reverse().join("")}`),
);
integer("bfind.u32 $d, $a;", "u32", ["u32"], (a) => (a === 0n ? -1n : 31n - BigInt(Math.clz32(Number(a)))));
integer(
  "bfe.u32 $d, $a, $b, $c;",
  "u32",
  ["u32", "u32", "u32"],
  (a, position, length) => (a >> (position & 255n)) & ((1n << (length & 255n)) - 1n),
);
integer("bfe.s32 $d, $a, 4, 8;", "s32", ["s32"], (a) => BigInt.asIntN(8, a >> 4n));
integer("bfi.b32 $d, $a, $b, $c, 7;", "u32", ["u32", "u32", "u32"], (a, b, position) => {
  const mask = (0x7fn << (position & 255n)) & 0xffffffffn;
  return (b & ~mask) | ((a << (position & 255n)) & mask);
});
integer(
  "shf.l.wrap.b32 $d, $a, $b, $c;",
  "u32",
  ["u32", "u32", "u32"],
  (a, b, by) => (((b << 32n) | a) << (by & 31n)) >> 32n,
);
integer(
  "shf.r.wrap.b32 $d, $a, $b, $c;",
  "u32",
  ["u32", "u32", "u32"],
  (a, b, by) => ((b << 32n) | a) >> (by & 31n),
);
integer(
  "shf.r.clamp.b32 $d, $a, $b, $c;",
  "u32",
  ["u32", "u32", "u32"],
  (a, b, by) => ((b << 32n) | a) >> (by > 32n ? 32n : by),
);
// 0xe8 is the majority of three bits, 0x96 their parity.
integer(
  "lop3.b32 $d, $a, $b, $c, 0xe8;",
  "u32",
  ["u32", "u32", "u32"],
  (a, b, c) => (a & b) | (a & c) | (b & c),
);
integer("lop3.b32 $d, $a, $b, $c, 0x96;", "u32", ["u32", "u32", "u32"], (a, b, c) => a ^ b ^ c);
integer("prmt.b32 $d, $a, $b, 0x3715;", "u32", ["u32", "u32"], (a, b) => {
  const bytes = (b << 32n) | a;
  return [5n, 1n, 7n, 3n].reduce(
    (word, at, k) => word | (((bytes >> (8n * at)) & 255n) << BigInt(8 * k)),
    0n,
  );
});
integer("prmt.b32 $d, $a, $b, 0x9810;", "u32", ["u32", "u32"], (a) => {
  const sign = (at: bigint) => ((a >> (8n * at + 7n)) & 1n ? 255n : 0n);
  return (a & 0xffffn) | (sign(0n) << 16n) | (sign(1n) << 24n);
});
integer("slct.u32.s32 $d, $a, $b, $c;", "u32", ["u32", "u32", "s32"], (a, b, c) => (c >= 0n ? a : b));
integer(
  "mov.b64 {%r40, %r41}, $a; mov.b64 $d, {%r41, %r40};",
  "u64",
  ["u64"],
  (a) => (a >> 32n) | (a << 32n),
);
integer(
  "mov.b32 {%rs8, %rs9}, $a; mov.b32 $d, {%rs9, %rs8};",
  "u32",
  ["u32"],
  (a) => (a >> 16n) | (a << 16n),
);
// Predicates: combinations within setp and of their own.
integer(
  "setp.eq.s32 %p1, $c, 0; setp.lt.and.s32 %p0|%p2, $a, $b, !%p1; selp.s32 $d, 1, 0, %p0; @%p2 add.s32 $d, $d, 2;",
  "s32",
  ["s32", "s32", "s32"],
  (a, b, c) => (a < b && c !== 0n ? 1n : 0n) + (a >= b && c !== 0n ? 2n : 0n),
);
integer(
  "setp.gt.u32 %p0, $a, $b; setp.ne.b32 %p1, $a, 5; xor.pred %p2, %p0, %p1; not.pred %p3, %p2; or.pred %p4, %p3, %p0; selp.u32 $d, 1, 0, %p4;",
  "u32",
  ["u32", "u32"],
  (a, b) => (!(a > b !== (a !== 5n)) || a > b ? 1n : 0n),
);

for (const to of ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"] as const)
  for (const from of ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"] as const)
    integer(`cvt.${to}.${from} $d, $a;`, to, [from], (a) => a);
for (const from of ["u16", "s16", "u32", "s32", "u64", "s64"] as const) {
  add(`cvt.rn.f32.${from} $d, $a;`, "f32", [from], (a: never) => Number(a));
  add(`cvt.rn.f64.${from} $d, $a;`, "f64", [from], (a: never) => Number(a));
}
const roundings: Record<string, (x: number) => number> = {
  rzi: Math.trunc,
  rmi: Math.floor,
  rpi: Math.ceil,
  rni: (x) => {
    const down = Math.floor(x);
    return x - down < 0.5 || (x - down === 0.5 && down % 2 === 0) ? down : down + 1;
  },
};
for (const [name, round] of Object.entries(roundings))
  for (const from of ["f32", "f64"] as const) {
    for (const to of ["s32", "u32", "s64", "u64", "s16"] as const)
      add(`cvt.${name}.${to}.${from} $d, $a;`, to, [from], (a: never) => {
        const [low, high] =
          to[0] === "s" ? [-(2 ** (bits[to]! - 1)), 2 ** (bits[to]! - 1)] : [0, 2 ** bits[to]!];
        if (Number.isNaN(a)) return value(to, 0n);
        const rounded = round(a);
        if (rounded >= high) return value(to, BigInt(high) - 1n);
        return value(to, BigInt(rounded <= low ? low : rounded));
      });
    add(`cvt.${name}.${from}.${from} $d, $a;`, from, [from], (a: never) =>
      round(a) === 0 ? (1 / (a as number) < 0 ? -0 : 0) : round(a),
    );
  }
add("cvt.f64.f32 $d, $a;", "f64", ["f32"], (a: never) => a);
add("cvt.rn.f32.f64 $d, $a;", "f32", ["f64"], (a: never) => Math.fround(a));
add(
  "cvt.sat.f32.f32 $d, $a;",
  "f32",
  ["f32"],
  (a: never) => (Number.isNaN(a) ? 0 : Math.min(1, Math.max(0, a))) || 0,
);

type Numbers = (...x: number[]) => number;
const float = (text: string, count: number, f: Numbers, tolerance?: number) =>
  add(
    text,
    "f32",
    Array(count).fill("f32"),
    (...x: never[]) => Math.fround(f(...(x as number[]))),
    tolerance,
  );
const double = (text: string, count: number, f: Numbers) =>
  add(text, "f64", Array(count).fill("f64"), f as never);
/** min and max of IEEE 754-2019 minimumNumber: a number rather than NaN, -0 less than 0. */
const smaller: Numbers = (a, b) => (Number.isNaN(a!) ? b! : Number.isNaN(b!) ? a! : Math.min(a!, b!));
const larger: Numbers = (a, b) => (Number.isNaN(a!) ? b! : Number.isNaN(b!) ? a! : Math.max(a!, b!));
const flush = (x: number) => (x !== 0 && Math.abs(x) < 2 ** -126 ? (x < 0 ? -0 : 0) : x);

float("add.f32 $d, $a, $b;", 2, (a, b) => a! + b!);
float("sub.rn.f32 $d, $a, $b;", 2, (a, b) => a! - b!);
float("mul.f32 $d, $a, $b;", 2, (a, b) => a! * b!);
float("add.ftz.f32 $d, $a, $b;", 2, (a, b) => flush(Math.fround(flush(a!) + flush(b!))));
float("mul.rn.ftz.f32 $d, $a, $b;", 2, (a, b) => flush(Math.fround(flush(a!) * flush(b!))));
float("div.rn.f32 $d, $a, $b;", 2, (a, b) => a! / b!);
float("div.full.f32 $d, $a, $b;", 2, (a, b) => a! / b!, 2 ** -22);
float("sqrt.rn.f32 $d, $a;", 1, (a) => Math.sqrt(a!));
float("rcp.rn.f32 $d, $a;", 1, (a) => 1 / a!);
float("rsqrt.approx.f32 $d, $a;", 1, (a) => 1 / Math.sqrt(a!), 2 ** -22);
float("ex2.approx.f32 $d, $a;", 1, (a) => 2 ** a!, 2 ** -22);
float("lg2.approx.f32 $d, $a;", 1, (a) => Math.log2(a!), 2 ** -22);
float("tanh.approx.f32 $d, $a;", 1, (a) => Math.tanh(a!), 2 ** -11);
float("min.f32 $d, $a, $b;", 2, smaller);
float("max.f32 $d, $a, $b;", 2, larger);
float("max.NaN.f32 $d, $a, $b;", 2, (a, b) => Math.max(a!, b!));
float("neg.f32 $d, $a;", 1, (a) => -a!);
float("abs.f32 $d, $a;", 1, (a) => Math.abs(a!));
float("copysign.f32 $d, $a, $b;", 2, (a, b) => (Object.is(a, -0) || a! < 0 ? -Math.abs(b!) : Math.abs(b!)));
for (const [name, holds] of Object.entries({
  lt: (a: number, b: number) => a < b,
  eq: (a: number, b: number) => a === b,
  ne: (a: number, b: number) => a < b || a > b,
  neu: (a: number, b: number) => a !== b,
  leu: (a: number, b: number) => !(a > b),
  num: (a: number, b: number) => !Number.isNaN(a) && !Number.isNaN(b),
  nan: (a: number, b: number) => Number.isNaN(a) || Number.isNaN(b),
}))
  float(`setp.${name}.f32 %p0, $a, $b; selp.f32 $d, 0f3F800000, 0f00000000, %p0;`, 2, (a, b) =>
    holds(a!, b!) ? 1 : 0,
  );
/** The sum of two float32 values is exact in float64 here, unless their exponents are too far apart. */
const directed = (direction: "z" | "m" | "p", exact: number, rest = 0) => {
  const nearest = Math.fround(exact);
  if (!Number.isFinite(exact)) return nearest;
  const word = new Int32Array(new Float32Array([nearest]).buffer);
  const beyond = exact - nearest || rest;
  const step = (towardsZero: boolean) => {
    word[0] = nearest === 0 ? (beyond < 0 ? -2147483647 : 1) : word[0]! + (towardsZero ? -1 : 1);
    return new Float32Array(word.buffer)[0]!;
  };
  if (direction === "z")
    return nearest !== 0 && beyond !== 0 && beyond < 0 === nearest > 0 ? step(true) : nearest;
  if (direction === "m") return beyond < 0 ? step(nearest > 0) : nearest;
  return beyond > 0 ? step(nearest < 0) : nearest;
};
for (const direction of ["z", "m", "p"] as const) {
  float(`mul.r${direction}.f32 $d, $a, $b;`, 2, (a, b) => directed(direction, a! * b!));
  float(`add.r${direction}.f32 $d, $a, $b;`, 2, (a, b) => {
    const sum = a! + b!;
    const part = sum - a!;
    return directed(direction, sum, a! - (sum - part) + (b! - part));
  });
  add(`cvt.r${direction}.f32.s32 $d, $a;`, "f32", ["s32"], (a: never) => directed(direction, a));
}
double("add.f64 $d, $a, $b;", 2, (a, b) => a! + b!);
double("mul.rn.f64 $d, $a, $b;", 2, (a, b) => a! * b!);
double("div.rn.f64 $d, $a, $b;", 2, (a, b) => a! / b!);
double("sqrt.rn.f64 $d, $a;", 1, (a) => Math.sqrt(a!));
double("max.f64 $d, $a, $b;", 2, larger);

const bf16 = (x: number): number => {
  if (Number.isNaN(x)) return 0x7fff;
  const word = new Uint32Array(new Float32Array([x]).buffer)[0]!;
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
};
add(
  "cvt.rn.bf16x2.f32 $d, $a, $b;",
  "u32",
  ["f32", "f32"],
  (a: never, b: never) => bf16(a) * 65536 + bf16(b),
);
add("cvt.rn.bf16.f32 $d, $a;", "u16", ["f32"], (a: never) => bf16(a));
add(
  "cvt.f32.bf16 $d, $a;",
  "f32",
  ["u16"],
  (a: never) => new Float32Array(new Uint32Array([a << 16]).buffer)[0]!,
);
add("cvt.rn.f16.f32 %rs8, $a; cvt.f32.f16 $d, %rs8;", "f32", ["f32"], (a: never) => {
  if (!Number.isFinite(a) || a === 0) return a;
  const magnitude = Math.abs(a);
  const step = 2 ** (Math.max(Math.floor(Math.log2(magnitude)), -14) - 10);
  const rounded = roundings.rni!(magnitude / step) * step;
  return Math.sign(a) * (rounded >= 65520 ? Infinity : rounded);
});

describe.each(isas)("one instruction in every lane, on %s", (isa) => {
  test.each(cases.map((instruction) => [instruction.text, instruction] as const))("%s", (_, instruction) => {
    expect(onIsa(isa, () => differences(instruction))).toEqual([]);
  });

  test("a fused multiply-add rounds once", () => {
    // (1 + 2^-12)^2 - 1 - 2^-11 is 2^-24: rounding the product first would leave 0.
    const instruction: InstructionCase = {
      text: "mov.f32 $d, 0f3F800800; fma.rn.f32 $d, $d, $d, 0fBF801000; add.f32 $d, $d, $a; sub.f32 $d, $d, $a;",
      result: "f32",
      sources: ["f32"],
      reference: (a: never) => Math.fround(Math.fround(2 ** -24 + a) - a),
    };
    expect(onIsa(isa, () => differences(instruction))).toEqual([]);
  });
});
