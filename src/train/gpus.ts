/** What a GPU can do at most, from its maker's data sheet: the numbers that a plan holds work against. */
export interface Gpu {
  readonly description: string;
  readonly memoryBytes: number;
  /** Dense products of bf16 numbers with fp32 sums, in FLOP/s. */
  readonly bf16FlopsPerSecond: number;
  /** Vector arithmetic in fp32, in FLOP/s. */
  readonly fp32FlopsPerSecond: number;
  /** To and from its memory. */
  readonly bytesPerSecond: number;
  /** To the other GPUs of a node, one way. */
  readonly linkBytesPerSecond: number;
  readonly source: string;
}

const gibibyte = 2 ** 30;

/** By the name that `sightline plan --gpu` takes. */
export const gpus: Readonly<Record<string, Gpu>> = {
  "a100-40g": {
    description: "NVIDIA A100 SXM4 40 GB",
    memoryBytes: 40 * gibibyte,
    bf16FlopsPerSecond: 312e12,
    fp32FlopsPerSecond: 19.5e12,
    bytesPerSecond: 1.555e12,
    linkBytesPerSecond: 300e9,
    source: "NVIDIA A100 data sheet",
  },
  "a100-80g": {
    description: "NVIDIA A100 SXM4 80 GB",
    memoryBytes: 80 * gibibyte,
    bf16FlopsPerSecond: 312e12,
    fp32FlopsPerSecond: 19.5e12,
    bytesPerSecond: 2.039e12,
    linkBytesPerSecond: 300e9,
    source: "NVIDIA A100 data sheet",
  },
  "h100-80g": {
    description: "NVIDIA H100 SXM5 80 GB",
    memoryBytes: 80 * gibibyte,
    bf16FlopsPerSecond: 989e12,
    fp32FlopsPerSecond: 67e12,
    bytesPerSecond: 3.35e12,
    linkBytesPerSecond: 450e9,
    source: "NVIDIA H100 data sheet",
  },
  "h200-141g": {
    description: "NVIDIA H200 SXM 141 GB",
    memoryBytes: 141e9,
    bf16FlopsPerSecond: 989e12,
    fp32FlopsPerSecond: 67e12,
    bytesPerSecond: 4.8e12,
    linkBytesPerSecond: 450e9,
    source: "NVIDIA H200 data sheet",
  },
};

/**
 * Seconds that work takes at a GPU's peaks of arithmetic or of memory, whichever needs longer: none can be faster.
 *
 * @param work FLOPs of fp32 arithmetic and of products of bf16 numbers, and bytes that must move
 */
export function floorSeconds(
  { flops, bf16Flops, bytes }: { readonly flops: number; readonly bf16Flops: number; readonly bytes: number },
  gpu: Pick<Gpu, "fp32FlopsPerSecond" | "bf16FlopsPerSecond" | "bytesPerSecond">,
): number {
  const arithmetic = flops / gpu.fp32FlopsPerSecond + bf16Flops / gpu.bf16FlopsPerSecond;
  return Math.max(arithmetic, bytes / gpu.bytesPerSecond);
}
