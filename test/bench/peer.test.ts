import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { compare, type PeerRequest, rowsOf } from "../../bench/comparison.js";
import { defaultTimeoutsMs, Peer, type Timeouts } from "../../bench/peer.js";
import { PeerSupply } from "../../bench/peer-supply.js";

const running: { stop(): void }[] = [];
afterEach(() => {
  for (const peer of running.splice(0)) peer.stop();
});

const command = (fault: string) => ({
  title: "Fake",
  command: process.execPath,
  args: [join(import.meta.dirname, "fake-peer.mjs"), fault],
});

async function start(fault = "", timeoutsMs: Partial<Timeouts> = {}) {
  const started = await Peer.start(command(fault), 2, { ...defaultTimeoutsMs, ...timeoutsMs });
  running.push(started.peer);
  return started;
}

describe("a peer", () => {
  test("introduces itself, and answers for the case that was opened", async () => {
    const { peer, identity } = await start();
    expect(identity).toEqual({ name: "Fake", version: "1.2", threads: 2 });
    const opened = await peer.open("matmul", { m: 4 });
    expect(await opened.check()).toEqual({ loss: 0.5 });
    expect([await opened.run(), await opened.run()]).toEqual([1, 2]);
    expect(await opened.peakBytes()).toBe(1000);
    await opened.close();
    expect(peer.alive).toBe(true);
  });

  test("lives on after refusing a case", async () => {
    const { peer } = await start();
    await expect(peer.open("decode", {})).rejects.toThrow("Fake: unsupported: case decode");
    await expect(peer.open("matmul", { m: 1000 })).rejects.toThrow("Fake: too large");
    expect(await (await peer.open("matmul", { m: 1 })).run()).toBe(1);
  });

  test("that dies is reported with its last words, now and later", async () => {
    const { peer } = await start("run-dies");
    const opened = await peer.open("matmul", { m: 1 });
    await expect(opened.run()).rejects.toThrow("Fake: ended with code 3; its last words: out of luck");
    await expect(opened.check()).rejects.toThrow("out of luck");
    expect(peer.alive).toBe(false);
    await opened.close();
  });

  test("that prints something else, or answers with other fields, is ended", async () => {
    const { peer } = await start("check-garbage");
    const opened = await peer.open("matmul", { m: 1 });
    await expect(opened.check()).rejects.toThrow(
      "Fake: check: expected a line of JSON, received a stray print",
    );
    expect(peer.alive).toBe(false);

    const other = await (await start("run-wrong")).peer.open("matmul", { m: 1 });
    await expect(other.run()).rejects.toThrow('Fake: run: unexpected answer {"second":1}');
  });

  test("that is too slow is ended", async () => {
    const { peer } = await start("run-hangs", { run: 50 });
    const opened = await peer.open("matmul", { m: 1 });
    await expect(opened.run()).rejects.toThrow("Fake: run: no answer within 50 ms");
  });

  test("that does not exist cannot be started", async () => {
    const missing = { title: "Nobody", command: join(import.meta.dirname, "nobody"), args: [] };
    await expect(Peer.start(missing, 1)).rejects.toThrow("Nobody: could not be started");
  });
});

describe("a comparison", () => {
  const supply = (fault: string) => {
    const made = new PeerSupply("Fake", command(fault), 2);
    running.push(made);
    return made;
  };
  const request = (from: PeerSupply, fields: Partial<PeerRequest> = {}): PeerRequest => ({
    supply: from,
    variant: "eager",
    case: "matmul",
    settings: { m: 1 },
    ...fields,
  });

  test("takes turns after two warm-ups and makes a row per peer", async () => {
    let ours = 0;
    const comparison = await compare(async () => ++ours, [request(supply(""))], 3);
    expect(ours).toBe(5);
    // Rounds 3, 4 and 5 count on both sides.
    expect(comparison.seconds.median).toBe(4);
    const [row] = rowsOf(
      { id: "suite/x", unit: "GFLOP/s", amount: 8, flops: 8e9, secondsAtPeak: 2 },
      comparison,
    );
    expect(row).toMatchObject({
      value: 2,
      spread: 0.25,
      gflopsPerSecond: 2,
      percentOfPeak: 50,
      peer: "Fake eager",
      peerValue: 2,
      ratio: 1,
      note: null,
    });
  });

  test("notes what is wrong with a peer and goes on", async () => {
    const comparison = await compare(
      async () => 1,
      [
        request(supply("run-dies"), { variant: "dying" }),
        request(supply(""), { variant: "unable", case: "decode" }),
        request(supply(""), { variant: "wrong", disagreement: ({ loss }) => `loss ${loss}` }),
        request(new PeerSupply("Fake", { missing: "it is not installed" }, 2), { variant: "absent" }),
        request(supply(""), { variant: "well" }),
      ],
      2,
    );
    const rows = rowsOf({ id: "suite/x", unit: "s" }, comparison);
    expect(rows.map(({ peer, ratio, note }) => [peer, ratio, note])).toEqual([
      ["Fake dying", null, "Fake: ended with code 3; its last words: out of luck"],
      ["Fake unable", null, "Fake: unsupported: case decode"],
      ["Fake wrong", null, "results disagree, not timed: loss 0.5"],
      ["Fake absent", null, "Fake: skipped, it is not installed"],
      ["Fake well", 3.5, null],
    ]);
  });

  test("throws what goes wrong with ours", async () => {
    const failing = () => Promise.reject(new Error("ours"));
    await expect(compare(failing, [], 1)).rejects.toThrow("ours");
  });

  test("starts a peer anew after it has died", async () => {
    const from = supply("run-dies");
    await expect((await from.open("matmul", { m: 1 })).run()).rejects.toThrow("out of luck");
    expect(await (await from.open("matmul", { m: 1 })).check()).toEqual({ loss: 0.5 });
    expect(from.description).toBe("Fake 1.2, 2 threads");
  });
});
