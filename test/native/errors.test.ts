import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { SightlineError } from "../../src/native/errors.js";

const nativeError = (code: string) => Object.assign(new Error("what happened"), { code });

describe("SightlineError.fromNative", () => {
  test("knows every code of the native code", () => {
    const source = readFileSync(new URL("../../native/core/error.cpp", import.meta.url), "utf8");
    const codes = new Set(source.match(/"[A-Z_]+"/g)?.map((literal) => literal.slice(1, -1)));
    expect(codes.size).toBeGreaterThan(5);
    for (const code of codes) {
      const error = SightlineError.fromNative(nativeError(code));
      expect(error).toBeInstanceOf(SightlineError);
      expect(error).toMatchObject({ name: "SightlineError", code, message: "what happened" });
    }
  });

  test.each([nativeError("ENOENT"), new TypeError("x"), { code: "IO" }, undefined])(
    "returns %o as it is",
    (thrown) => {
      expect(SightlineError.fromNative(thrown)).toBe(thrown);
    },
  );
});
