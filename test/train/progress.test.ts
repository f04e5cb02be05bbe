import { Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { formatDuration } from "../../src/train/duration.js";
import { createProgress } from "../../src/train/progress.js";

/** A stream that remembers what was written, as a terminal if asked for. */
function sink(isTTY: boolean) {
  let text = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  const terminal = { isTTY, columns: 120, text: () => text };
  return Object.assign(stream, terminal);
}

describe("createProgress", () => {
  test("writes one plain line per update where there is no terminal", () => {
    const stream = sink(false);
    const progress = createProgress(stream);
    progress.message("run folder: runs/x");
    progress.begin(0, 12);
    progress.update({ update: 1, headline: { success: 0.5, kl: 0.00042 }, seconds: 8 });
    progress.update({ update: 2, headline: { success: 1 }, seconds: 10 });
    progress.end();
    expect(stream.text().split("\n")).toEqual([
      "run folder: runs/x",
      "update  1/12  success 0.500  kl 4.2e-4  8.0 s  at most 1 min 28 s left",
      "update  2/12  success 1.000  10.0 s  at most 1 min 30 s left",
      "",
    ]);
  });

  test("writes at most 100 lines, the last update's among them", () => {
    const stream = sink(false);
    const progress = createProgress(stream);
    progress.begin(0, 501);
    for (let update = 1; update <= 501; update++) progress.update({ update, headline: {}, seconds: 1 });
    const positions = stream.text().match(/\d+\/501/g)!;
    expect(positions).toHaveLength(84);
    expect([positions[0], positions.at(-1)]).toEqual(["6/501", "501/501"]);
  });

  test("draws a bar on a terminal, with metrics and time left, and messages on lines of their own", () => {
    const stream = sink(true);
    const progress = createProgress(stream);
    progress.begin(3, 10);
    progress.update({ update: 4, headline: { success: 0.75 }, seconds: 2 });
    progress.message("stopping");
    progress.end();
    const text = stripVTControlCharacters(stream.text());
    expect(text).toMatch(/3\/10/);
    expect(text).toContain("4/10  success 0.750  at most 12.0 s left");
    expect(text).toMatch(/^stopping$/m);
  });

  test("can be ended before it was begun", () => {
    const stream = sink(true);
    createProgress(stream).end();
    expect(stream.text()).toBe("");
  });
});

describe("formatDuration", () => {
  test.each([
    [0, "0.0 s"],
    [8.24, "8.2 s"],
    [59.96, "1 min 00 s"],
    [74, "1 min 14 s"],
    [3599.7, "1 h 00 min"],
    [7500, "2 h 05 min"],
  ])("%d seconds are %s", (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });
});
