import { describe, expect, test } from "vitest";
import { interruptible } from "../../src/cli/interrupt.js";

describe("interruptible", () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "aborts at the first %s and leaves the second to the system",
    async (name) => {
      const events: string[] = [];
      const before = process.listenerCount(name);
      const result = await interruptible(
        async (signal) => {
          signal.addEventListener("abort", () => events.push("aborted"));
          expect(process.listenerCount(name)).toBe(before + 1);
          process.emit(name);
          expect(signal.aborted).toBe(true);
          // Nobody listens any more, so another one ends the process.
          expect(process.listenerCount(name)).toBe(before);
          return "tidied up";
        },
        () => events.push("notified"),
      );
      expect(result).toBe("tidied up");
      expect(events).toEqual(["notified", "aborted"]);
    },
  );

  test("stops listening when the work ends, well or not", async () => {
    const before = process.listenerCount("SIGINT");
    await interruptible(
      async () => {},
      () => {},
    );
    const failing = interruptible(
      async () => Promise.reject(new Error("failed")),
      () => {},
    );
    await expect(failing).rejects.toThrow("failed");
    expect(process.listenerCount("SIGINT")).toBe(before);
  });
});
