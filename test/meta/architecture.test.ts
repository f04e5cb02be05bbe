import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "");
const read = (file: string) => readFileSync(path.join(root, file), "utf8");

/** Folder -> folders it may import from, itself left out. `*` stands for everything. */
const typescriptLayers: Record<string, string[]> = {
  "src/random": ["src/native/types"],
  "src/native": [],
  "src/rl": [],
  "src/models": ["src/native", "envs/env"],
  "src/policy": ["src/native", "src/models", "envs/env"],
  "src/rollout": ["src/native", "src/policy", "src/rl", "src/random", "envs/env"],
  "src/algorithms": ["src/native/types", "src/policy", "src/rl", "src/rollout", "src/random", "envs/env"],
  "src/train": ["*"],
  "src/cli": ["src/train", "src/native"],
  "src/index": ["*"],
  envs: ["src/random", "src/native/types"],
};

const nativeLayers: Record<string, string[]> = {
  core: [],
  ops: ["core"],
  io: ["core"],
  images: ["core"],
  autograd: ["core", "ops"],
  nn: ["core", "ops", "autograd"],
  models: ["core", "ops", "autograd", "nn"],
  engine: ["core", "ops", "autograd", "nn", "models", "io", "cuda"],
  cuda: ["core", "ops"],
  emulator: ["core", "cuda"],
  addon: ["core", "ops", "io", "images", "engine", "models", "nn", "cuda", "emulator"],
};

function layerOf(file: string): string | undefined {
  return Object.keys(typescriptLayers)
    .filter((layer) => file === `${layer}.ts` || file.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0];
}

describe("TypeScript imports", () => {
  const sources = files.filter((file) => /^(src|envs)\/.*\.ts$/.test(file));

  test("every source file belongs to a layer", () => {
    expect(sources.filter((file) => layerOf(file) === undefined)).toEqual([]);
  });

  test("point only to layers that the file's layer may know", () => {
    const breaches: string[] = [];
    for (const file of sources) {
      const layer = layerOf(file)!;
      const allowed = [layer, ...typescriptLayers[layer]!];
      for (const [, specifier] of read(file).matchAll(/(?:from|import)\s*\(?"(\.[^"]+)"/g)) {
        const target = path.posix.join(path.posix.dirname(file), specifier!).replace(/\.js$/, "");
        const known = allowed.some((to) => to === "*" || target === to || target.startsWith(`${to}/`));
        if (!known || (target.startsWith("src/cli/") && layer !== "src/cli"))
          breaches.push(`${file} -> ${target}`);
      }
    }
    expect(breaches).toEqual([]);
  });
});

describe("C++ includes", () => {
  const sources = files.filter((file) => /^native\/.*\.(h|cpp|cu|cuh)$/.test(file));

  test("point only to folders that the file's folder may know", () => {
    const breaches: string[] = [];
    for (const file of sources) {
      const folder = file.split("/")[1]!;
      // An op's kernels lie beside it, and run with what the CUDA backend gives them.
      const allowed = [folder, ...nativeLayers[folder]!, ...(/\.cuh?$/.test(file) ? ["cuda"] : [])];
      for (const [, target] of read(file).matchAll(/#include "([^"]+)"/g))
        if (!allowed.includes(target!.split("/")[0]!)) breaches.push(`${file} -> ${target}`);
    }
    expect(breaches).toEqual([]);
  });

  test("bring the emulator into the test addon only", () => {
    const users = sources.filter((file) => read(file).includes('#include "emulator/'));
    const outside = (file: string) => !/^native\/(emulator|addon\/testing)\//.test(file);
    expect(users.filter(outside)).toEqual([]);
  });

  test("bring Node headers into the addon only", () => {
    const users = sources.filter((file) => /#include <(napi|node_api|node|uv|v8)\.h>/.test(read(file)));
    expect(users.filter((file) => !file.startsWith("native/addon/"))).toEqual([]);
  });

  test("bring intrinsics into simd.h and the thread pool's pause only", () => {
    const users = sources.filter((file) => read(file).includes("<immintrin.h>"));
    expect(users.sort()).toEqual(["native/core/thread_pool.cpp", "native/ops/simd.h"]);
  });

  test("name no model family outside the TypeScript mappings", () => {
    const named = sources.filter((file) =>
      /\b(llava|qwen|idefics|smolvlm|mistral|vicuna)\b/i.test(read(file).replace(/\/\*[\s\S]*?\*\//g, "")),
    );
    expect(named).toEqual([]);
  });
});

describe("files", () => {
  const handWritten = files.filter((file) => /\.(ts|h|cpp|cu|cuh|mjs|py)$/.test(file));

  test("are at most 600 lines long", () => {
    expect(handWritten.filter((file) => read(file).split("\n").length > 600)).toEqual([]);
  });

  test("leave nothing unfinished behind", () => {
    const marker = /\b(TODO|FIXME|XXX|HACK)\b|\b(it|test|describe)\.(only|todo)\(/;
    const others = handWritten.filter((file) => file !== "test/meta/architecture.test.ts");
    expect(others.filter((file) => marker.test(read(file)))).toEqual([]);
  });
});

describe("the lock file", () => {
  test("carries no registry addresses", () => {
    expect(read("package-lock.json")).not.toMatch(/https?:\/\/registry/);
  });
});
