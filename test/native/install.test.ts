import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAddon } from "../../src/native/addon.js";

const projectRoot = path.resolve(import.meta.dirname, "..", "..");
const prebuilt = path.join("prebuilds", `${process.platform}-${process.arch}`, "sightline.napi.node");

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), "sightline-install-"));
});
afterAll(() => rmSync(root, { recursive: true }));

/** A package with the real install script, and a compiler that only notes how it was called. */
function newPackage(compilerStatus = 0): string {
  const folder = mkdtempSync(path.join(root, "package-"));
  const put = (name: string, contents: string) => {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), contents);
  };
  put("package.json", JSON.stringify({ name: "sightline", type: "module" }));
  put("scripts/install.mjs", readFileSync(path.join(projectRoot, "scripts", "install.mjs"), "utf8"));
  put("node_modules/cmake-js/package.json", JSON.stringify({ name: "cmake-js" }));
  put(
    "node_modules/cmake-js/bin/cmake-js.js",
    `require("node:fs").writeFileSync("compiled.json", JSON.stringify({
       arguments: process.argv.slice(2), jobs: process.env.CMAKE_BUILD_PARALLEL_LEVEL }));
     process.exitCode = ${compilerStatus};`,
  );
  symlinkSync(
    path.join(projectRoot, "node_modules", "node-gyp-build"),
    path.join(folder, "node_modules", "node-gyp-build"),
  );
  return folder;
}

function addModule(folder: string, name: string, contents?: string): void {
  mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
  if (contents === undefined) copyFileSync(loadAddon().file, path.join(folder, name));
  else writeFileSync(path.join(folder, name), contents);
}

function install(folder: string, env: Record<string, string> = {}): SpawnSyncReturns<string> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(SIGHTLINE_|CMAKE_|npm_config_build)/.test(name),
  );
  return spawnSync(process.execPath, [path.join(folder, "scripts", "install.mjs")], {
    encoding: "utf8",
    env: { ...Object.fromEntries(inherited), ...env },
  });
}

function compiled(folder: string): { arguments: string[]; jobs: string } | undefined {
  const file = path.join(folder, "compiled.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

describe("the install script", () => {
  test("compiles on all cores when there is no module", () => {
    const folder = newPackage();
    expect(install(folder).status).toBe(0);
    expect(compiled(folder)?.arguments).toEqual(["compile"]);
    expect(Number(compiled(folder)?.jobs)).toBeGreaterThanOrEqual(1);
  });

  test("leaves the number of jobs to CMAKE_BUILD_PARALLEL_LEVEL where that is set", () => {
    const folder = newPackage();
    install(folder, { CMAKE_BUILD_PARALLEL_LEVEL: "3" });
    expect(compiled(folder)?.jobs).toBe("3");
  });

  test.each([prebuilt, "build/Release/sightline.node"])("keeps %s when it loads", (name) => {
    const folder = newPackage();
    addModule(folder, name);
    const { status, stdout } = install(folder);
    expect(status).toBe(0);
    expect(stdout).toContain(`uses ${path.normalize(name)} as it is`);
    expect(compiled(folder)).toBeUndefined();
  });

  test("compiles when the module that is there does not load", () => {
    const folder = newPackage();
    addModule(folder, prebuilt, "for another system");
    expect(install(folder).status).toBe(0);
    expect(compiled(folder)).toBeDefined();
  });

  test.each([{ SIGHTLINE_BUILD_FROM_SOURCE: "1" }, { npm_config_build_from_source: "true" }])(
    "compiles with %o whatever is there",
    (env) => {
      const folder = newPackage();
      addModule(folder, prebuilt);
      expect(install(folder, env).status).toBe(0);
      expect(compiled(folder)).toBeDefined();
    },
  );

  test("does nothing with SIGHTLINE_SKIP_NATIVE=1", () => {
    const folder = newPackage();
    const { status, stdout } = install(folder, {
      SIGHTLINE_SKIP_NATIVE: "1",
      SIGHTLINE_BUILD_FROM_SOURCE: "1",
    });
    expect(status).toBe(0);
    expect(stdout).toContain("skipped because SIGHTLINE_SKIP_NATIVE is set");
    expect(compiled(folder)).toBeUndefined();
  });

  test("passes a failed compilation on and says what compiling needs", () => {
    const { status, stdout } = install(newPackage(5));
    expect(status).toBe(5);
    expect(stdout).toContain("It needs a C++20 compiler");
  });
});
