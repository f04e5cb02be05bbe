import { describe, expect, test } from "vitest";
import { addressesByThread, findings, native, ptxModule, run } from "./ptx.js";

const launch = { grid: [1], block: [64] };
const fill = (count: number) => Uint32Array.from({ length: count }, (_, k) => k * 2654435761);

describe("global memory", () => {
  test.each([
    ["u8", "%rs1", 1],
    ["b16", "%rs1", 2],
    ["u32", "%r1", 4],
    ["b64", "%rd5", 8],
    ["f64", "%fd1", 8],
    ["v2.f32", "{%f1, %f2}", 8],
    ["v4.b32", "{%r1, %r2, %r3, %r4}", 16],
    ["v2.u64", "{%rd5, %rd6}", 16],
    ["v4.u8", "{%rs1, %rs2, %rs3, %rs4}", 4],
  ])("copies %s", (type, registers, bytes) => {
    const input = fill(64 * 4).slice(0, (64 * bytes) / 4);
    const output = new Uint32Array(input.length);
    const ptx = ptxModule(
      ["u64", "u64"],
      `${addressesByThread([bytes, bytes])}
  ld.global.nc.L1::no_allocate.${type} ${registers}, [%rd0];
  st.global.${type} [%rd1], ${registers};`,
    );
    const traffic = run(ptx, launch, [{ buffer: input }, { buffer: output, initialised: false }], {
      countTraffic: true,
    });
    expect(output).toEqual(input);
    expect(traffic).toMatchObject({
      globalRequests: 4,
      globalBytesRead: 64 * bytes,
      globalBytesWritten: 64 * bytes,
      globalSectors: traffic.globalIdealSectors,
    });
  });

  test("sign extension, displacements and generic addresses of both spaces", () => {
    const ptx = ptxModule(
      ["u64", "u64"],
      `
  .shared .align 4 .b8 buffer[256];
${addressesByThread([2, 4])}
  ld.global.s16 %r1, [%rd0+2];
  add.u64 %rd9, %rd0, 2;
  ld.global.s16 %r1, [%rd9+-2];
  mov.u64 %rd10, buffer;
  cvta.shared.u64 %rd11, %rd10;
  mad.wide.u32 %rd11, %r0, 4, %rd11;
  st.u32 [%rd11], %r1;
  bar.sync 0;
  ld.u32 %r2, [%rd11];
  setp.ge.u32 %p0, %r0, 32;
  selp.b64 %rd12, %rd11, %rd1, %p0;
  st.u32 [%rd12], %r2;
  @!%p0 bra END;
  cvta.to.shared.u64 %rd13, %rd11;
  ld.shared.u32 %r3, [%rd13];
  st.u32 [%rd1], %r3;
END:`,
    );
    const input = Int16Array.from({ length: 65 }, (_, k) => (k % 2 ? -1000 * k : k));
    const output = new Int32Array(64);
    run(ptx, launch, [{ buffer: input }, { buffer: output, initialised: false }]);
    expect(Array.from(output)).toEqual(Array.from(input.subarray(0, 64)));
  });

  test("sectors and their ideal: strided loads touch more than they use", () => {
    const strided = (bytes: number) =>
      ptxModule(["u64"], `${addressesByThread([bytes])}\n  ld.global.u32 %r1, [%rd0];`);
    const count = (bytes: number) => {
      const traffic = run(strided(bytes), { grid: [1], block: [32] }, [{ buffer: new Uint32Array(1024) }], {
        countTraffic: true,
      });
      return [traffic.globalSectors, traffic.globalIdealSectors];
    };
    expect(count(0)).toEqual([1, 1]);
    expect(count(4)).toEqual([4, 4]);
    expect(count(8)).toEqual([8, 4]);
    expect(count(32)).toEqual([32, 4]);
  });
});

describe("constants and parameters", () => {
  test("module arrays with and without initial values", () => {
    const ptx = ptxModule(
      ["u64"],
      `${addressesByThread([4])}
  mov.u64 %rd5, table;
  and.b32 %r1, %r0, 3;
  mad.wide.u32 %rd6, %r1, 4, %rd5;
  ld.const.f32 %f1, [%rd6];
  ld.const.f32 %f2, [table+4];
  ld.global.u16 %rs1, [words+2];
  cvt.rn.f32.u16 %f3, %rs1;
  ld.global.u32 %r2, [zeros+8];
  cvt.rn.f32.u32 %f4, %r2;
  add.f32 %f1, %f1, %f2;
  add.f32 %f1, %f1, %f3;
  add.f32 %f1, %f1, %f4;
  st.global.f32 [%rd0], %f1;`,
      `.const .align 4 .f32 table[4] = {0f3F800000, 0f40000000, 0f40400000, 0f40800000};
.global .align 2 .u16 words[2] = {7, 100};
.global .align 4 .b8 zeros[12];`,
    );
    const output = new Float32Array(64);
    run(ptx, launch, [{ buffer: output, initialised: false }]);
    expect(Array.from(output)).toEqual(Array.from({ length: 64 }, (_, k) => (k % 4) + 1 + 2 + 100));
    const beyond = ptx.replace("[zeros+8]", "[zeros+12]");
    expect(findings(beyond, launch, [{ buffer: output }])[0]).toMatchObject({ kind: "out_of_bounds" });
  });

  test("parameters of every size, and a structure by value", () => {
    const ptx = ptxModule(
      ["u64", "u32", "f64", "align 8 .b8"],
      `
  ld.param.u64 %rd0, [p0];
  ld.param.u32 %r1, [p1];
  ld.param.f64 %fd1, [p2];
  ld.param.v2.u32 {%r2, %r3}, [p3];
  cvt.rn.f64.u32 %fd2, %r1;
  add.f64 %fd1, %fd1, %fd2;
  add.u32 %r2, %r2, %r3;
  cvt.rn.f64.u32 %fd2, %r2;
  add.f64 %fd1, %fd1, %fd2;
  mov.b64 %rd2, p3;
  ld.param.u32 %r4, [%rd2+4];
  cvt.rn.f64.u32 %fd2, %r4;
  add.f64 %fd1, %fd1, %fd2;
  st.global.f64 [%rd0], %fd1;`,
    ).replace(".b8 p3", ".b8 p3[8]");
    const output = new Float64Array(1);
    const args = [
      { buffer: output, initialised: false },
      { u32: 40 },
      { f64: 0.5 },
      { u64: (7n << 32n) | 5n },
    ];
    run(ptx, { grid: [1], block: [1] }, args);
    expect(output[0]).toBe(40 + 0.5 + 5 + 7 + 7);
    expect(native.parsePtx(ptx)[0]).toMatchObject({ name: "kernel", parameterBytes: [8, 4, 8, 8] });
  });
});

describe("atomics", () => {
  test.each([
    ["add.u32", 10, 10 + (63 * 64) / 2],
    ["min.s32", 10, -32],
    ["max.u32", 10, 2 ** 32 - 1],
    ["and.b32", 0xff, 0],
    ["or.b32", 0, -1 >>> 0],
    ["inc.u32", 0, undefined],
  ])("%s on global and shared memory", (operation, initial, expected) => {
    const signed =
      operation === "min.s32" || operation === "max.u32" || operation === "or.b32" || operation === "and.b32";
    const ptx = ptxModule(
      ["u64", "u64"],
      `
  .shared .align 4 .b8 counter[4];
${addressesByThread([0, 4])}
  mov.u32 %r1, ${signed ? 32 : 0};
  sub.u32 %r1, %r0, %r1;
  setp.ne.u32 %p0, %r0, 0;
  @%p0 bra GO;
  mov.u32 %r2, ${initial};
  st.shared.u32 [counter], %r2;
GO:
  bar.sync 0;
  atom.global.${operation} %r3, [%rd0], %r1;
  red.shared.${operation} [counter], %r1;
  bar.sync 0;
  ld.shared.u32 %r4, [counter];
  st.global.u32 [%rd1], %r4;`,
    );
    const counter = Uint32Array.of(initial);
    const output = new Uint32Array(64);
    run(ptx, launch, [{ buffer: counter }, { buffer: output, initialised: false }]);
    expect(new Set(output)).toEqual(new Set(counter));
    if (expected !== undefined) expect(counter[0]).toBe(expected >>> 0);
  });

  test("compare and swap takes a lock-free maximum", () => {
    const ptx = ptxModule(
      ["u64", "u64"],
      `${addressesByThread([0, 8])}
  ld.global.u64 %rd3, [%rd1];
  mov.u64 %rd4, 0;
LOOP:
  setp.ge.u64 %p0, %rd4, %rd3;
  @%p0 bra END;
  atom.global.cas.b64 %rd5, [%rd0], %rd4, %rd3;
  setp.eq.u64 %p1, %rd5, %rd4;
  mov.u64 %rd4, %rd5;
  @!%p1 bra LOOP;
END:`,
    );
    const values = BigUint64Array.from({ length: 64 }, (_, k) => BigInt((k * 37) % 64) << 33n);
    const maximum = new BigUint64Array(1);
    run(ptx, launch, [{ buffer: maximum }, { buffer: values }]);
    expect(maximum[0]).toBe(63n << 33n);
  });
});

describe("PTX that the interpreter does not take is refused with line and text", () => {
  const refused =
    (body: string, declarations = "") =>
    () =>
      native.parsePtx(ptxModule(["u64"], body, declarations));
  test.each([
    ["an unknown instruction", "  frobnicate.u32 %r1, %r2;", /PTX line \d+: .*frobnicate\.u32 %r1, %r2/],
    ["an unknown type", "  add.u128 %r1, %r2, %r3;", /add\.u128/],
    ["printf", "  call.uni (retval0), vprintf, (param0, param1);", /calls are not supported.*vprintf/],
    ["local memory", "  .local .align 4 .b8 depot[16];", /local memory.*depot/],
    ["a spill", "  st.local.u32 [%rd0], %r1;", /local memory.*st\.local/],
    ["float atomics", "  atom.global.add.f32 %f1, [%rd0], %f2;", /order of blocks.*atom\.global\.add\.f32/],
    ["an undeclared register", "  add.u32 %r1, %r2, %zz;", /%zz/],
    ["a register of the wrong width", "  add.u32 %r1, %rd2, %r3;", /%rd2/],
    ["a missing operand", "  add.u32 %r1, %r2;", /expected 1 results and 2 sources/],
    ["a label that is nowhere", "  bra NOWHERE;", /NOWHERE/],
    ["a rounding mode it lacks", "  add.rz.f64 %fd1, %fd2, %fd3;", /add\.rz\.f64/],
    ["text that ends early", "  add.u32 %r1, %r2", /ret/],
  ])("%s", (_, body, message) => {
    expect(refused(body)).toThrow(message);
  });

  test("a body that is not closed", () => {
    expect(() => native.parsePtx(ptxModule([], "").replace(/\}\s*$/, ""))).toThrow(/ends within kernel/);
  });
});
