import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { JsonLines } from "../../src/train/json-lines.js";
import { temporaryFolder } from "./temporary-folder.js";

let path: string;
let lines: JsonLines;
beforeEach(async () => {
  path = join(temporaryFolder(), "metrics.jsonl");
  lines = new JsonLines(path);
  for (const update of [1, 2, 3]) await lines.append({ update, "a/b": update / 10 });
});

describe("JsonLines", () => {
  test("writes one object per line", () => {
    expect(readFileSync(path, "utf8")).toBe(
      '{"update":1,"a/b":0.1}\n{"update":2,"a/b":0.2}\n{"update":3,"a/b":0.3}\n',
    );
  });

  test("leaves out a line that was cut short", async () => {
    appendFileSync(path, '{"update":4,"a/');
    expect(await lines.read()).toHaveLength(3);
    await lines.truncateAfter(3);
    await lines.append({ update: 4 });
    expect((await lines.read()).map(({ update }) => update)).toEqual([1, 2, 3, 4]);
  });

  test("takes away what lies after an update, to the byte", async () => {
    const whole = readFileSync(path, "utf8");
    await lines.truncateAfter(1);
    expect(await lines.read()).toEqual([{ update: 1, "a/b": 0.1 }]);
    for (const update of [2, 3]) await lines.append({ update, "a/b": update / 10 });
    expect(readFileSync(path, "utf8")).toBe(whole);
  });

  test("is empty, and stays so, where there is no file", async () => {
    const absent = new JsonLines(`${path}.absent`);
    await absent.truncateAfter(0);
    expect(await absent.read()).toEqual([]);
  });
});
