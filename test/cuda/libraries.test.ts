import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { emulator, emulatorFile } from "../emulator/cuda.js";

const libraries = [
  {
    name: "cuBLASLt",
    variable: "SIGHTLINE_CUBLASLT",
    load: emulator.cublasLt,
    advice: /CUDA toolkit.*pip install nvidia-cublas/,
  },
  {
    name: "NCCL",
    variable: "SIGHTLINE_NCCL",
    load: emulator.nccl,
    advice: /libnccl2.*pip install nvidia-nccl/,
  },
];

describe.each(libraries)("$name", ({ name, variable, load, advice }) => {
  test("that is missing is named, with what was tried and how to get it; a later call tries again", () => {
    process.env[variable] = "/nowhere/library.so";
    expect(load).toThrow(
      new RegExp(`^${name}: expected the library that ${variable} names, found none:\n.*/nowhere/library.so`),
    );
    expect(load).toThrow(advice);
    expect(load).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
    process.env[variable] = process.platform === "darwin" ? "/usr/lib/libSystem.B.dylib" : "libm.so.6";
    expect(load).toThrow(
      /expected a library with the function (cublasLt|nccl)GetVersion, but .*lib.* has none/,
    );
    process.env[variable] = emulatorFile;
    expect(Object.keys(load()).length).toBeGreaterThan(10);
  });
});

/** nvcc of PATH or CUDA_HOME, or nothing. */
function findNvcc(): string | undefined {
  const folders = [
    ...(process.env.PATH ?? "").split(path.delimiter),
    path.join(process.env.CUDA_HOME ?? "", "bin"),
  ];
  return folders.map((folder) => path.join(folder, "nvcc")).find((file) => existsSync(file));
}

describe("our declarations", () => {
  const root = path.resolve(import.meta.dirname, "../..");
  const nvcc = findNvcc();
  const cases = [
    { source: "check_cublaslt_headers.cpp", header: "cublasLt.h", variable: "SIGHTLINE_CUBLASLT_INCLUDE" },
    { source: "check_nccl_headers.cpp", header: "nccl.h", variable: "SIGHTLINE_NCCL_INCLUDE" },
  ];
  for (const { source, header, variable } of cases) {
    const folder = process.env[variable] ?? "";
    let reason = "";
    if (!nvcc) reason = " (skipped: there is no nvcc)";
    else if (!existsSync(path.join(folder, header)))
      reason = ` (skipped: ${variable} names no folder with ${header})`;
    test.skipIf(reason !== "")(`agree with ${header}${reason}`, () => {
      const includes = [`-I${path.join(root, "native")}`, `-I${folder}`];
      const file = path.join(import.meta.dirname, source);
      const options = [
        "-std=c++20",
        "-x",
        "c++",
        "-Xcompiler",
        "-fsyntax-only",
        "-c",
        file,
        "-o",
        "/dev/null",
      ];
      execFileSync(nvcc!, [...options, ...includes], { stdio: "pipe" });
    });
  }
});
