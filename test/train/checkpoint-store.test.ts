import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { CheckpointStore, type RunState } from "../../src/train/checkpoint-store.js";
import { ArrowPolicy } from "./fakes.js";
import { temporaryFolder } from "./temporary-folder.js";

/** Operations on files that are still allowed before the "kill"; infinite while nobody is killed. */
const kill = vi.hoisted(() => ({ after: Number.POSITIVE_INFINITY }));

vi.mock("node:fs/promises", async (importOriginal) => {
  const real = await importOriginal<Record<string, unknown>>();
  const mortal = (value: unknown) =>
    typeof value !== "function"
      ? value
      : (...args: unknown[]) => {
          if (kill.after-- <= 0) throw new Error("killed");
          return value(...args);
        };
  return Object.fromEntries(Object.entries(real).map(([name, value]) => [name, mortal(value)]));
});

let folder: string;
beforeEach(() => {
  kill.after = Number.POSITIVE_INFINITY;
  folder = join(temporaryFolder(), "checkpoints");
});

function stateAfter(update: number, best: number | null): RunState<{ step: number }> {
  return {
    update,
    environmentSteps: 10 * update,
    algorithm: { step: update },
    stop: { best: best === null ? null : { update: best, successRate: 0.5 }, solvedInARow: 0 },
  };
}

/** Saves updates 0 to `last`, each with its number as the weight; update 2 is the best from update 3 on. */
async function saveThrough(last: number): Promise<CheckpointStore<{ step: number }>> {
  const store = await CheckpointStore.open<{ step: number }>(folder);
  for (let update = 0; update <= last; update++) await saveOne(store, update);
  return store;
}

async function saveOne(store: CheckpointStore<{ step: number }>, update: number): Promise<void> {
  const policy = new ArrowPolicy();
  policy.weight = update;
  await store.save(policy, stateAfter(update, update >= 3 ? 2 : null));
}

async function weightIn(path: string): Promise<number> {
  const policy = new ArrowPolicy();
  await policy.loadCheckpoint(path);
  return policy.weight;
}

describe("CheckpointStore", () => {
  test("keeps the last and the best checkpoint and nothing else", async () => {
    const store = await saveThrough(5);
    expect(readdirSync(folder).sort()).toEqual(["best", "last", "update-000002", "update-000005"]);
    expect(await weightIn(store.last)).toBe(5);
    expect(await weightIn(store.best)).toBe(2);
    expect(store.savedUpdate).toBe(5);
    expect(store.lastState()).toEqual(stateAfter(5, 2));
  });

  test("links relatively, so that a run folder can be moved", async () => {
    await saveThrough(0);
    expect(readlinkSync(join(folder, "last"))).toBe("update-000000");
  });

  test("has no last checkpoint before the first is saved", async () => {
    const store = await CheckpointStore.open(folder);
    expect(store.lastState()).toBeUndefined();
    expect(store.savedUpdate).toBeUndefined();
  });

  test("keeps a chosen checkpoint as the best", async () => {
    const store = await saveThrough(4);
    await store.markBest(4);
    expect(await weightIn(store.best)).toBe(4);
  });

  test("leaves whole checkpoints wherever a save is killed, and goes on from there", async () => {
    let operations = 0;
    let isFinished = false;
    while (!isFinished) {
      folder = join(temporaryFolder(), "checkpoints");
      const store = await saveThrough(3);
      kill.after = operations++;
      isFinished = await saveOne(store, 4).then(
        () => true,
        () => false,
      );
      kill.after = Number.POSITIVE_INFINITY;

      // As another process finds it: first only reading, then opening it to resume.
      const found = await weightIn(join(folder, "last"));
      expect([3, 4]).toContain(found);
      const reopened = await CheckpointStore.open<{ step: number }>(folder);
      expect(reopened.lastState()).toEqual(stateAfter(found, 2));
      expect(await weightIn(reopened.best)).toBe(2);
      await saveOne(reopened, found + 1);
      expect(readdirSync(folder).sort()).toEqual([
        "best",
        "last",
        "update-000002",
        `update-00000${found + 1}`,
      ]);
    }
    // Directory, weights, optimizer, state, three flushes, rename, links, removal: each was a place to die.
    expect(operations).toBeGreaterThan(12);
  });

  test("survives a kill while the best checkpoint changes", async () => {
    let isFinished = false;
    for (let operations = 0; !isFinished; operations++) {
      folder = join(temporaryFolder(), "checkpoints");
      const store = await saveThrough(2);
      kill.after = operations;
      isFinished = await saveOne(store, 3).then(
        () => true,
        () => false,
      );
      kill.after = Number.POSITIVE_INFINITY;
      const reopened = await CheckpointStore.open<{ step: number }>(folder);
      const { update, stop } = reopened.lastState()!;
      expect(await weightIn(reopened.last)).toBe(update);
      if (stop.best !== null) expect(await weightIn(reopened.best)).toBe(2);
    }
  });
});
