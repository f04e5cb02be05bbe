import { expect, test } from "vitest";
import { FrameMemory } from "../../envs/gym-cards/frame-memory.js";
import { createFrame, drawStrip, felt, white } from "../../envs/gym-cards/rendering.js";

const source = createFrame(4, 3, felt);

test("copies are equal to their source and apart from it and from each other", () => {
  const memory = new FrameMemory();
  const [one, other] = [memory.copy(source), memory.copy(source)];
  expect(one).toEqual(source);
  one.data.fill(0);
  expect(other).toEqual(source);
  expect(source).toEqual(createFrame(4, 3, felt));
});

test("memory is used again only after it was given back", () => {
  const memory = new FrameMemory();
  const [one, kept] = [memory.copy(source), memory.copy(source)];
  one.data.fill(0);
  memory.takeBack(one);
  const next = memory.copy(source);
  expect(next.data).toBe(one.data);
  expect(next).toEqual(source);
  expect(memory.copy(source).data).not.toBe(kept.data);
});

test("a bounded number of frames is kept", () => {
  const memory = new FrameMemory();
  const frames = Array.from({ length: 100 }, () => memory.copy(source));
  for (const frame of frames) memory.takeBack(frame);
  const given = new Set(frames.map(({ data }) => data));
  const reused = frames.filter(() => given.has(memory.copy(source).data));
  expect(reused.length).toBeGreaterThan(0);
  expect(reused.length).toBeLessThan(10);
});

test("frames of others, and frames given back before, are left alone", () => {
  const memory = new FrameMemory();
  const foreign = new FrameMemory().copy(source);
  memory.takeBack(foreign);
  const frame = memory.copy(source);
  expect(frame.data).not.toBe(foreign.data);
  memory.takeBack(frame);
  const next = memory.copy(source);
  expect(next.data).toBe(frame.data);
  // Its memory has another owner now.
  memory.takeBack(frame);
  expect(memory.copy(source).data).not.toBe(next.data);
});

test("a strip covers its rows and no others", () => {
  const frame = new FrameMemory().copy(source);
  drawStrip(frame, createFrame(4, 1, white), 1);
  expect([...frame.data]).toEqual([
    ...source.data.slice(0, 12),
    ...Array(12).fill(255),
    ...source.data.slice(24),
  ]);
  expect(() => drawStrip(frame, createFrame(4, 2, white), 2)).toThrow(RangeError);
});
