/** Times our work and the same work of peers in turns, and makes rows of it. */
import { setTimeout as pause } from "node:timers/promises";
import type { PeerCase } from "./peer.js";
import type { PeerSupply } from "./peer-supply.js";
import { type Row, ratioOf, row, type Unit } from "./results.js";
import { type Summary, summarize } from "./statistics.js";

/** Worker threads of math libraries spin for a while after their work; a block that begins sooner shares its cores. */
const SETTLE_MS = 35;

/** Rounds that are not counted: caches, allocators, clocks and compilers settle. */
const WARM_UPS = 2;

/** A repetition longer than this needs one warm-up only. */
const LONG_SECONDS = 2;

/** A peer's part in a comparison. */
export interface PeerRequest {
  readonly supply: PeerSupply;
  /** What distinguishes it from others of the same peer, e.g. `eager fp32`. */
  readonly variant: string;
  readonly case: string;
  readonly settings: object;
  /** Compares what the peer computes with ours. @returns what is wrong with it, undefined where they agree */
  readonly disagreement?: (values: Record<string, unknown>) => string | undefined;
}

interface PeerResult {
  /** Title and variant. */
  readonly name: string;
  readonly seconds?: Summary;
  readonly peakBytes?: number | undefined;
  /** Why there is no time. */
  readonly note?: string;
}

export interface Comparison {
  readonly seconds: Summary;
  readonly peers: readonly PeerResult[];
}

/** One side of the turns: a timed repetition returns its seconds. */
interface Contestant {
  readonly run: () => Promise<number>;
  readonly seconds: number[];
  isWarm?: boolean;
  failure?: unknown;
}

const contestant = (run: () => Promise<number>): Contestant => ({ run, seconds: [] });
const message = (error: unknown) => (error instanceof Error ? error.message : String(error));

/**
 * Opens and checks the peers' cases, then runs ours, theirs, ours, theirs and so on. What goes wrong with a peer
 * becomes its note; what goes wrong with ours is thrown.
 *
 * @param ours one repetition, already checked. @returns its seconds
 * @param repeats timed repetitions of each side, after warm-up
 */
export async function compare(
  ours: () => Promise<number>,
  requests: readonly PeerRequest[],
  repeats: number,
): Promise<Comparison> {
  const theirs = await openAll(requests.filter(({ supply }) => supply.wanted));
  const own = contestant(ours);
  try {
    await takeTurns([own, ...theirs.flatMap(({ turn }) => turn ?? [])], repeats);
    if (own.failure !== undefined) throw own.failure;
    const peers: PeerResult[] = [];
    for (const { name, opened, turn, note } of theirs) {
      if (turn === undefined || turn.failure !== undefined) {
        peers.push({ name, note: note ?? message(turn?.failure) });
      } else {
        const peakBytes = await opened?.peakBytes().catch(() => undefined);
        peers.push({ name, seconds: summarize(turn.seconds), peakBytes });
      }
    }
    return { seconds: summarize(own.seconds), peers };
  } finally {
    for (const { opened } of theirs) await opened?.close().catch(() => {});
  }
}

interface Entry {
  name: string;
  opened?: PeerCase;
  turn?: Contestant;
  note?: string;
}

/** A peer that cannot be opened, or computes something else, gets a note instead of a turn. */
async function openAll(requests: readonly PeerRequest[]): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const { supply, variant, case: name, settings, disagreement } of requests) {
    const entry: Entry = { name: `${supply.title} ${variant}` };
    entries.push(entry);
    try {
      const opened = await supply.open(name, settings);
      entry.opened = opened;
      const problem = disagreement?.(await opened.check());
      if (problem === undefined) entry.turn = contestant(() => opened.run());
      else entry.note = `results disagree, not timed: ${problem}`;
    } catch (error) {
      entry.note = message(error);
    }
  }
  return entries;
}

/** Runs the contestants in turns; one that fails takes no further turn. */
async function takeTurns(contestants: readonly Contestant[], repeats: number): Promise<void> {
  for (let round = -WARM_UPS; round < repeats; round++) {
    for (const one of contestants) {
      if (one.failure !== undefined || (round < 0 && one.isWarm)) continue;
      await pause(SETTLE_MS);
      try {
        const seconds = await one.run();
        one.isWarm = seconds > LONG_SECONDS;
        if (round >= 0) one.seconds.push(seconds);
      } catch (error) {
        one.failure = error;
      }
    }
  }
}

/** How the seconds of one repetition become a row's values. */
export interface Work {
  /** `<suite>/<what>/...` */
  readonly id: string;
  readonly unit: Unit;
  /** How much of the unit one repetition does, for rates; omitted for seconds. */
  readonly amount?: number;
  /** Counted floating-point operations of one repetition. */
  readonly flops?: number;
  /** Bytes that one repetition must move. */
  readonly bytes?: number;
  /** Seconds that one repetition would take at the peak that limits it. */
  readonly secondsAtPeak?: number | undefined;
  readonly note?: string;
}

/** One row per peer, one alone where there is none. */
export function rowsOf(work: Work, { seconds, peers }: Comparison): Row[] {
  const { id, unit, amount, flops, bytes, secondsAtPeak, note } = work;
  const value = (time: number) => (amount === undefined ? time : amount / time);
  const perSecond = (count: number | undefined) =>
    count === undefined ? null : count / seconds.median / 1e9;
  const own = {
    id,
    unit,
    value: value(seconds.median),
    spread: seconds.spread,
    gflopsPerSecond: perSecond(flops),
    gigabytesPerSecond: perSecond(bytes),
    percentOfPeak: secondsAtPeak === undefined ? null : (100 * secondsAtPeak) / seconds.median,
    note: note ?? null,
  };
  if (peers.length === 0) return [row(own)];
  return peers.map((peer): Row => {
    const notes = [note, peer.note].filter((text) => text !== undefined).join("; ");
    const named = { ...own, peer: peer.name, note: notes === "" ? null : notes };
    if (peer.seconds === undefined) return row(named);
    const peerValue = value(peer.seconds.median);
    const ratio = ratioOf(unit, own.value, peerValue);
    return row({ ...named, peerValue, peerSpread: peer.seconds.spread, ratio });
  });
}

/** Rows that compare peak memory, for the peers that report theirs. */
export function memoryRows(id: string, bytes: number, { peers }: Comparison): Row[] {
  const own = { id, unit: "bytes", value: bytes } as const;
  const known = peers.filter(({ peakBytes }) => peakBytes !== undefined);
  if (known.length === 0) return [row(own)];
  return known.map(({ name, peakBytes }) =>
    row({ ...own, peer: name, peerValue: peakBytes!, ratio: ratioOf("bytes", bytes, peakBytes!) }),
  );
}
