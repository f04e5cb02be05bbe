import { describe, expect, test } from "vitest";
import { deriveKey, philox, Random, stream } from "../src/random.js";

describe("philox", () => {
  // Lines "philox4x32 10" of Random123's kat_vectors.
  test.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)("maps counter %j and key %j to the known answer", (counter, key, expected) => {
    expect(philox(counter, key)).toEqual(expected);
  });
});

describe("deriveKey", () => {
  test("gives the same key for the same seed and path", () => {
    expect(deriveKey(7, stream.sampling, 3, 1)).toEqual(deriveKey(7, stream.sampling, 3, 1));
  });

  test("keeps its keys from version to version", () => {
    expect(deriveKey(0)).toEqual([0, 0]);
    // Philox of (1, 0, 0, 1) under (42, 0), then of (7, 0, 0, 1) under that, with arbitrary-precision integers.
    expect(deriveKey(42, 1)).toEqual([0x1f858d22, 0x5a936ff5]);
    expect(deriveKey(42, 1, 7)).toEqual([0xfb6abe84, 0x9e1a0539]);
  });

  test("gives different keys for different seeds, elements, orders and lengths", () => {
    const paths = [[], [0], [1], [0, 0], [0, 1], [1, 0], [0, 0, 0], [0xffffffff]];
    const seeds = [0, 1, 0xffffffff];
    const keys = seeds.flatMap((seed) => paths.map((path) => deriveKey(seed, ...path).join()));
    expect(new Set(keys).size).toBe(seeds.length * paths.length);
  });

  test("does not derive keys from numbers that a sequence of the parent key draws", () => {
    const parent = deriveKey(5, 1);
    const random = new Random(parent);
    const drawn = new Set(Array.from({ length: 400 }, () => random.uint32()));
    for (let element = 0; element < 100; element++) {
      expect(drawn.has(deriveKey(5, 1, element)[0])).toBe(false);
    }
  });

  test.each([-1, 1.5, 2 ** 32, Number.NaN])("rejects %d as seed and as path element", (value) => {
    expect(() => deriveKey(value)).toThrow(RangeError);
    expect(() => deriveKey(value)).toThrow(`seed: expected an unsigned 32-bit integer, received ${value}`);
    expect(() => deriveKey(0, 1, value)).toThrow(`path[1]: expected an unsigned 32-bit integer`);
  });
});

describe("stream", () => {
  test("gives every purpose an id of its own", () => {
    const ids = Object.values(stream);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("Random", () => {
  test("yields the blocks of successive counters", () => {
    const random = new Random([1, 2]);
    const words = Array.from({ length: 8 }, () => random.uint32());
    expect(words).toEqual([...philox([0, 0, 0, 0], [1, 2]), ...philox([1, 0, 0, 0], [1, 2])]);
  });

  test("repeats itself for the same key", () => {
    const [a, b] = [new Random([3, 4]), new Random([3, 4])];
    for (let i = 0; i < 100; i++) expect(a.uniform()).toBe(b.uniform());
  });

  test("draws uniform numbers in [0, 1) with mean 1/2 and variance 1/12", () => {
    const random = new Random(deriveKey(1));
    const n = 100_000;
    let sum = 0;
    let squares = 0;
    let [least, greatest] = [1, 0];
    for (let i = 0; i < n; i++) {
      const x = random.uniform();
      least = Math.min(least, x);
      greatest = Math.max(greatest, x);
      sum += x;
      squares += (x - 0.5) ** 2;
    }
    expect(least).toBeGreaterThanOrEqual(0);
    expect(greatest).toBeLessThan(1);
    expect(Math.abs(sum / n - 1 / 2)).toBeLessThan(4 * Math.sqrt(1 / 12 / n));
    expect(Math.abs(squares / n - 1 / 12)).toBeLessThan(4 * Math.sqrt(1 / 180 / n));
  });

  test("builds a uniform number from the upper 27 and 26 bits of two words", () => {
    const [first, second] = philox([0, 0, 0, 0], [1, 2]);
    const bits = (BigInt(first) >> 5n) * 2n ** 26n + (BigInt(second) >> 6n);
    expect(new Random([1, 2]).uniform()).toBe(Number(bits) / 2 ** 53);
  });

  // 3 * 2^30 does not divide 2^32: the remainder alone, without rejection, would favour the lowest third.
  test.each([1, 2, 6, 3 * 2 ** 30])("draws integers below %d from all of the range equally often", (n) => {
    const random = new Random(deriveKey(2, n));
    const draws = 60_000;
    const bins = Math.min(n, 6);
    const counts = new Array<number>(bins).fill(0);
    for (let i = 0; i < draws; i++) counts[Math.floor((random.integer(n) * bins) / n)]! += 1;
    expect(counts.reduce((sum, count) => sum + count)).toBe(draws);
    const deviation = Math.sqrt((draws / bins) * (1 - 1 / bins));
    for (const count of counts) expect(Math.abs(count - draws / bins)).toBeLessThanOrEqual(4 * deviation);
  });

  test("draws from the whole 32-bit range where n is 2^32", () => {
    expect(new Random([1, 2]).integer(2 ** 32)).toBe(new Random([1, 2]).uint32());
  });

  test.each([0, -1, 1.5, 2 ** 32 + 1, Number.NaN])("refuses an integer below %d", (n) => {
    expect(() => new Random([0, 0]).integer(n)).toThrow(`n: expected an integer in [1, 2^32], received ${n}`);
  });

  test("shuffles into every order equally often", () => {
    const random = new Random(deriveKey(3));
    const counts = new Map<string, number>();
    const draws = 24_000;
    for (let i = 0; i < draws; i++) {
      const array = [0, 1, 2, 3];
      random.shuffle(array);
      counts.set(array.join(""), (counts.get(array.join("")) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const deviation = Math.sqrt((draws / 24) * (23 / 24));
    for (const count of counts.values()) expect(Math.abs(count - draws / 24)).toBeLessThan(4 * deviation);
  });

  test("shuffles typed arrays and leaves empty ones alone", () => {
    const array = Int32Array.from({ length: 50 }, (_, i) => i);
    new Random([0, 0]).shuffle(array);
    expect([...array]).not.toEqual([...array].toSorted((a, b) => a - b));
    expect([...array].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    const empty: number[] = [];
    new Random([0, 0]).shuffle(empty);
    expect(empty).toEqual([]);
  });

  test("picks elements equally often and refuses an empty array", () => {
    const random = new Random(deriveKey(4));
    const counts = { a: 0, b: 0, c: 0 };
    const draws = 30_000;
    for (let i = 0; i < draws; i++) counts[random.pick(["a", "b", "c"] as const)] += 1;
    const deviation = Math.sqrt(draws * (1 / 3) * (2 / 3));
    for (const count of Object.values(counts))
      expect(Math.abs(count - draws / 3)).toBeLessThan(4 * deviation);
    expect(() => random.pick([])).toThrow(RangeError);
  });
});
