import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { loadAddon } from "../../src/native/addon.js";

const projectRoot = path.resolve(import.meta.dirname, "..", "..");
const built = loadAddon().file;
const prebuilt = path.join("prebuilds", `${process.platform}-${process.arch}`, "sightline.napi.node");

/** A package of our name with our sources and no native module but what a test puts there. */
let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), "sightline-package-"));
});
afterAll(() => rmSync(root, { recursive: true }));

function newPackage(): string {
  const folder = mkdtempSync(path.join(root, "package-"));
  copyFileSync(path.join(projectRoot, "package.json"), path.join(folder, "package.json"));
  cpSync(path.join(projectRoot, "src", "native"), path.join(folder, "src", "native"), { recursive: true });
  symlinkSync(path.join(projectRoot, "node_modules"), path.join(folder, "node_modules"));
  return folder;
}

function put(folder: string, name: string, contents?: string): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  if (contents === undefined) copyFileSync(built, file);
  else writeFileSync(file, contents);
  return file;
}

/** Loads the module as the code in `folder` does, afresh. */
async function load(folder: string): Promise<ReturnType<typeof loadAddon>> {
  vi.resetModules();
  const source = pathToFileURL(path.join(folder, "src", "native", "addon.ts")).href;
  return ((await import(source)) as { loadAddon: typeof loadAddon }).loadAddon();
}

async function failure(folder: string): Promise<Error & { code: string }> {
  return load(folder).then(
    ({ file }) => {
      throw new Error(`expected no module to load, received ${file}`);
    },
    (error) => error,
  );
}

describe("the native module's loader", () => {
  // The tests themselves may run with these set.
  const variables = ["SIGHTLINE_ADDON", "SIGHTLINE_BUILD_CONFIG"] as const;
  const set = (values: Partial<Record<(typeof variables)[number], string>>) => {
    for (const variable of variables) vi.stubEnv(variable, values[variable]);
  };
  afterEach(() => vi.unstubAllEnvs());

  test("takes build/Release before a prebuilt module", async () => {
    set({});
    const folder = newPackage();
    const packaged = put(folder, prebuilt);
    expect((await load(folder)).file).toBe(packaged);
    const compiled = put(folder, "build/Release/sightline.node");
    const { file, module } = await load(folder);
    expect(file).toBe(compiled);
    expect(module.createEngine).toBeTypeOf("function");
  });

  test("takes the file that SIGHTLINE_ADDON names before all others", async () => {
    const folder = newPackage();
    put(folder, "build/Release/sightline.node");
    const named = put(folder, "elsewhere/mine.node");
    set({ SIGHTLINE_ADDON: named, SIGHTLINE_BUILD_CONFIG: "Debug" });
    expect((await load(folder)).file).toBe(named);
  });

  test("takes the build that SIGHTLINE_BUILD_CONFIG names, in either kind of build tree", async () => {
    const folder = newPackage();
    put(folder, "build/Release/sightline.node");
    const debug = put(folder, "build/Debug/sightline.node");
    const sanitized = put(folder, "build-asan/Release/sightline.node");
    set({ SIGHTLINE_BUILD_CONFIG: "Debug" });
    expect((await load(folder)).file).toBe(debug);
    set({ SIGHTLINE_BUILD_CONFIG: "asan" });
    expect((await load(folder)).file).toBe(sanitized);
  });

  test("works from dist/src as from src", async () => {
    set({});
    const folder = newPackage();
    const compiled = put(folder, "build/Release/sightline.node");
    cpSync(path.join(folder, "src"), path.join(folder, "dist", "src"), { recursive: true });
    expect((await load(path.join(folder, "dist"))).file).toBe(compiled);
  });

  test("says where it looked and how to build the module when there is none", async () => {
    set({});
    const folder = newPackage();
    const error = await failure(folder);
    expect(error.code).toBe("UNSUPPORTED");
    expect(error.message).toContain(`looked for: build/Release and prebuilds in ${folder}`);
    expect(error.message).toContain("found: nothing");
    expect(error.message).toMatch(/reason: No native build was found for platform=/);
    expect(error.message).toContain(
      `SIGHTLINE_BUILD_FROM_SOURCE=1 node ${path.join(folder, "scripts", "install.mjs")}`,
    );
  });

  test("says which file did not load, and why", async () => {
    set({});
    const folder = newPackage();
    const broken = put(folder, "build/Release/sightline.node", "not a library");
    const error = await failure(folder);
    expect(error.code).toBe("UNSUPPORTED");
    expect(error.message).toContain(`found: ${broken}`);
    expect(error.message).toMatch(/reason: .*(file too short|invalid ELF|not a mach-o)/i);
    expect(error.cause).toBeInstanceOf(Error);
  });

  test("never replaces what an environment variable asks for by something else", async () => {
    const folder = newPackage();
    put(folder, "build/Release/sightline.node");
    set({ SIGHTLINE_ADDON: path.join(folder, "missing.node") });
    expect((await failure(folder)).message).toMatch(
      /looked for: SIGHTLINE_ADDON=.*missing\.node\n(.|\n)*unset it/,
    );
    set({ SIGHTLINE_BUILD_CONFIG: "Debug" });
    const { message } = await failure(folder);
    expect(message).toContain("looked for: SIGHTLINE_BUILD_CONFIG=Debug");
    expect(message).toContain(path.join(folder, "build", "Debug", "sightline.node"));
    expect(message).toContain("npx cmake-js build --config Debug");
  });
});
