import { afterEach, describe, expect, test } from "vitest";
import { probeCuda } from "../../src/native/cuda.js";
import type { DeviceName } from "../../src/native/types.js";
import { testingAddonFile } from "../testing-addon.js";
import { createTinyEngine, expectFailure } from "./tiny-engine.js";

const { SIGHTLINE_CUDA_LIBRARY: chosen } = process.env;
afterEach(() => {
  if (chosen === undefined) delete process.env.SIGHTLINE_CUDA_LIBRARY;
  else process.env.SIGHTLINE_CUDA_LIBRARY = chosen;
});

describe("an engine's device", () => {
  test("may be named as the CPU", async () => {
    (await createTinyEngine({ device: "cpu" })).dispose();
  });

  test.each(["gpu", "cuda:", "cuda:-1", "cuda:1x", "cuda1", "CPU", ""])("cannot be %j", async (device) => {
    const message = `device: expected "cpu", "cuda", or "cuda:N" with the number N of a GPU from 0, received "${device}"`;
    await expectFailure(createTinyEngine({ device: device as DeviceName }), "INVALID_ARGUMENT", message);
  });

  test("as a GPU has no instruction-set path of the CPU", async () => {
    const message = 'cpu: expected none, since the device is a GPU, received "portable"';
    await expectFailure(createTinyEngine({ device: "cuda", cpu: "portable" }), "INVALID_ARGUMENT", message);
  });
});

describe("the library of the CUDA backend", () => {
  test("that is not there is named, with the way out", async () => {
    process.env.SIGHTLINE_CUDA_LIBRARY = "/nowhere/libsightline_cuda.so";
    const message =
      /\/nowhere\/libsightline_cuda\.so.*npm run build:cuda.*the device "cpu".*SIGHTLINE_CUDA_LIBRARY/;
    await expectFailure(createTinyEngine({ device: "cuda" }), "UNSUPPORTED", message);
    expect(probeCuda).toThrow(message);
  });

  test("must belong to this version", async () => {
    process.env.SIGHTLINE_CUDA_LIBRARY = testingAddonFile;
    const message =
      /expected the library of the CUDA backend to be of this version of sightline, .* is not; build it/;
    await expectFailure(createTinyEngine({ device: "cuda" }), "UNSUPPORTED", message);
  });
});
