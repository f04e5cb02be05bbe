import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // A crash in native code must fail one test file, not the whole run.
    pool: "forks",
    // The engine's own threads use the cores; test files run one after the other.
    fileParallelism: false,
    testTimeout: 120_000,
    reporters: ["default", "./test/plain-summary-reporter.ts"],
  },
});
