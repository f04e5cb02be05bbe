/** Where the frames of the card games and of NumberLine live. */
import type { Frame } from "../env.js";

/** Frames whose memory is kept: of callers who hold a state and the one before, some to spare. */
const MOST_SPARE = 4;

/**
 * Gives out frames of one size and takes back those that their callers have done with. Memory that is new must be cleared by the
 * operating system, page by page, which takes many times as long as filling it; memory just given back still is in the processor's
 * caches.
 */
export class FrameMemory {
  /** The one given back last is at the end. */
  readonly #spare: Uint8Array[] = [];
  /** Frames with callers. */
  readonly #lent = new WeakSet<Frame>();

  /** A copy of a frame, to draw on. */
  copy({ width, height, data }: Frame): Frame {
    const spare = this.#spare.pop();
    spare?.set(data);
    // Of all ways to copy into new memory, this constructor alone does not fill it with zeros first.
    const frame = { width, height, data: spare ?? new Uint8Array(data) };
    this.#lent.add(frame);
    return frame;
  }

  /**
   * Takes a frame back, whose memory a later copy may have. One that is not from here is left alone, and so is one given back
   * before: two callers would draw into the same memory.
   */
  takeBack(frame: Frame): void {
    if (this.#lent.delete(frame) && this.#spare.length < MOST_SPARE) this.#spare.push(frame.data);
  }
}
