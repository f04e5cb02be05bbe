import { describe, expect, test } from "vitest";
import { isas, onIsa, ptxModule, run } from "./ptx.js";

/** Integers from -8 to 8, exact in bfloat16, in an order without pattern. */
const small = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, k) => ((Math.imul(k + seed, 2654435761) >>> 16) % 17) - 8);

/** bfloat16 words of exact values. */
const bf16 = (values: Float32Array) =>
  Uint16Array.from(new Uint32Array(values.buffer.slice(0)), (word) => word >>> 16);

/**
 * One warp: C (16 x 8) + A (16 x 16) B (16 x 8), B stored column by column, the fragments gathered element by element as the PTX
 * manual lays them out.
 */
const product = ptxModule(
  ["u64", "u64", "u64", "u64"],
  `
  ld.param.u64 %rd0, [p0];
  ld.param.u64 %rd1, [p1];
  ld.param.u64 %rd2, [p2];
  ld.param.u64 %rd3, [p3];
  mov.u32 %r0, %laneid;
  shr.u32 %r1, %r0, 2;
  and.b32 %r2, %r0, 3;
  // A: row group, words of two elements, 8 words to a row.
  mad.lo.u32 %r3, %r1, 8, %r2;
  mad.wide.u32 %rd4, %r3, 4, %rd0;
  ld.global.u32 %r10, [%rd4];
  ld.global.u32 %r11, [%rd4+256];
  ld.global.u32 %r12, [%rd4+16];
  ld.global.u32 %r13, [%rd4+272];
  mad.wide.u32 %rd5, %r3, 4, %rd1;
  ld.global.u32 %r14, [%rd5];
  ld.global.u32 %r15, [%rd5+16];
  // C: rows of 8.
  mul.lo.u32 %r4, %r2, 2;
  mad.lo.u32 %r4, %r1, 8, %r4;
  mad.wide.u32 %rd6, %r4, 4, %rd2;
  ld.global.v2.f32 {%f0, %f1}, [%rd6];
  ld.global.v2.f32 {%f2, %f3}, [%rd6+256];
  mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f0, %f1, %f2, %f3}, {%r10, %r11, %r12, %r13}, {%r14, %r15}, {%f0, %f1, %f2, %f3};
  mad.wide.u32 %rd7, %r4, 4, %rd3;
  st.global.v2.f32 [%rd7], {%f0, %f1};
  st.global.v2.f32 [%rd7+256], {%f2, %f3};`,
);

test.each(isas)("mma.sync is the product of its matrices, on %s", (isa) => {
  const [a, b, c] = [small(256, 1), small(128, 2), small(128, 3)];
  const output = new Float32Array(128);
  const args = [
    { buffer: bf16(a) },
    { buffer: bf16(b) },
    { buffer: c },
    { buffer: output, initialised: false },
  ];
  const traffic = onIsa(isa, () => run(product, { grid: [1], block: [32] }, args));
  const expected = Float32Array.from({ length: 128 }, (_, at) => {
    let sum = c[at]!;
    for (let k = 0; k < 16; k++) sum += a[Math.floor(at / 8) * 16 + k]! * b[(at % 8) * 16 + k]!;
    return sum;
  });
  expect(output).toEqual(expected);
  expect(traffic.mma).toBe(1);
});

describe("ldmatrix", () => {
  /** Stores 4 matrices of 8 x 8 numbers 0 to 255 in shared memory, loads `count` of them and writes out every lane's registers. */
  const loaded = (count: number, transposed: boolean) => {
    const registers = Array.from({ length: count }, (_, k) => `%r${20 + k}`);
    const ptx = ptxModule(
      ["u64"],
      `
  .shared .align 16 .b8 matrices[512];
  mov.u32 %r0, %laneid;
  mov.u32 %r1, matrices;
  mad.lo.u32 %r2, %r0, 16, %r1;
  mul.lo.u32 %r3, %r0, 8;
${Array.from({ length: 8 }, (_, k) => `  add.u32 %r4, %r3, ${k}; cvt.u16.u32 %rs1, %r4; st.shared.u16 [%r2+${2 * k}], %rs1;`).join("\n")}
  bar.warp.sync -1;
  ldmatrix.sync.aligned.m8n8.x${count}${transposed ? ".trans" : ""}.shared.b16 {${registers.join(", ")}}, [%r2];
  ld.param.u64 %rd0, [p0];
  mad.wide.u32 %rd0, %r0, ${4 * count}, %rd0;
${registers.map((register, k) => `  st.global.u32 [%rd0+${4 * k}], ${register};`).join("\n")}`,
    );
    const output = new Uint16Array(32 * 2 * count);
    run(ptx, { grid: [1], block: [32] }, [{ buffer: output, initialised: false }]);
    return output;
  };

  test.each([1, 2, 4].flatMap((count) => [false, true].map((transposed) => [count, transposed] as const)))(
    "x%i, transposed: %s",
    (count, transposed) => {
      const output = loaded(count, transposed);
      for (let lane = 0; lane < 32; lane++)
        for (let matrix = 0; matrix < count; matrix++)
          for (let half = 0; half < 2; half++) {
            const row = Math.floor(lane / 4);
            const column = 2 * (lane % 4) + half;
            const element = transposed ? 8 * column + row : 8 * row + column;
            expect(output[(lane * count + matrix) * 2 + half]).toBe(64 * matrix + element);
          }
    },
  );
});

describe("cp.async", () => {
  /** Three groups of one copy per thread each; after each wait the oldest group is added up. */
  const pipeline = ptxModule(
    ["u64", "u64", "u32"],
    `
  .shared .align 16 .b8 stages[6144];
  mov.u32 %r0, %tid.x;
  ld.param.u64 %rd0, [p0];
  ld.param.u64 %rd1, [p1];
  ld.param.u32 %r9, [p2];
  mad.wide.u32 %rd2, %r0, 16, %rd0;
  mov.u32 %r1, stages;
  mad.lo.u32 %r1, %r0, 16, %r1;
  cp.async.cg.shared.global [%r1], [%rd2], 16;
  cp.async.commit_group;
  cp.async.ca.shared.global.L2::128B [%r1+2048], [%rd2+2048], 16;
  cp.async.commit_group;
  cp.async.cg.shared.global [%r1+4096], [%rd2+4096], 16, %r9;
  cp.async.commit_group;
  xor.b32 %r2, %r1, 512;
  mov.u32 %r10, 0;
${[2, 1, 0]
  .map(
    (pending) => `
  cp.async.wait_group ${pending};
  bar.sync 0;
  ld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [%r2+${(2 - pending) * 2048}];
  mad.lo.u32 %r10, %r10, 3, %r3;
  add.u32 %r10, %r10, %r4;
  add.u32 %r10, %r10, %r5;
  add.u32 %r10, %r10, %r6;`,
  )
  .join("")}
  mad.wide.u32 %rd3, %r0, 4, %rd1;
  st.global.u32 [%rd3], %r10;`,
  );

  test.each([16, 8, 4, 0])(
    "arrives whenever, behind its wait; %i bytes of the last copy, the rest zero",
    (bytes) => {
      const input = Uint32Array.from({ length: 3 * 512 }, (_, k) => k * k + 1);
      const expected = Uint32Array.from({ length: 128 }, (_, thread) => {
        const from = thread ^ 32;
        const words = (stage: number, count: number) =>
          input
            .subarray(stage * 512 + from * 4, stage * 512 + from * 4 + count)
            .reduce((sum, word) => sum + word, 0);
        return (words(0, 4) * 3 + words(1, 4)) * 3 + words(2, bytes / 4);
      });
      for (const asyncCopies of ["late", "early", "random"] as const)
        for (const seed of [1, 2]) {
          const output = new Uint32Array(128);
          const args = [{ buffer: input }, { buffer: output, initialised: false }, { u32: bytes }];
          const checks = { asyncCopies, seed, randomInterleaving: seed === 2 };
          const traffic = run(pipeline, { grid: [1], block: [128] }, args, checks);
          expect(output).toEqual(expected);
          expect(traffic).toMatchObject({ asyncCopies: 12, globalBytesRead: 128 * (32 + bytes) });
        }
    },
  );

  test("reads the source only as far as it says", () => {
    const source = new Uint32Array(2 * 512);
    // The third stage lies beyond the allocation: with no bytes to read it is not touched.
    const args = (bytes: number) => [{ buffer: source }, { buffer: new Uint32Array(128) }, { u32: bytes }];
    run(pipeline, { grid: [1], block: [128] }, args(0));
    expect(() => run(pipeline, { grid: [1], block: [128] }, args(4))).toThrow(
      /out_of_bounds: a load of 4 bytes/,
    );
  });
});
