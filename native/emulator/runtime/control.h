#pragma once

#include <stddef.h>
#include <stdint.h>

/**
 * What tests tell the emulator and ask of it: the only functions of libsightline_emulator that no CUDA library has.
 * Everything below is process-wide and may be called from any thread.
 */
#ifdef __cplusplus
extern "C" {
#endif

enum SightlineEmulatorCopyTime {
  SIGHTLINE_EMULATOR_COPIES_LATE = 0,
  SIGHTLINE_EMULATOR_COPIES_EARLY = 1,
  SIGHTLINE_EMULATOR_COPIES_RANDOM = 2
};

struct SightlineEmulatorSettings {
  /** Of everything random: which stream goes on, how warps interleave, when copies land. A correct program's results do not
   *  depend on it. */
  uint64_t seed;
  /** Memory of each device in bytes; cudaMalloc beyond it returns cudaErrorMemoryAllocation. */
  uint64_t memory_budget_bytes;
  /** 1: streams run only when something waits for them, or now and then at random, in an order drawn by the seed.
   *  0 (eager): every operation runs as it is queued, as if the host waited after each call. */
  int32_t lazy;
  /** 1: races, reads of uninitialised memory, frees of memory in use are violations. Bounds always are. */
  int32_t checks;
  /** 1: a block's warps interleave at random. */
  int32_t random_interleaving;
  /** When the bytes of cp.async arrive: SightlineEmulatorCopyTime. */
  int32_t async_copies;
  /** 1: sectors and wavefronts are counted. */
  int32_t count_traffic;
  /** Host threads that run a kernel's blocks, at least 1. */
  int32_t interpreter_threads;
  /** What cudaGetDeviceCount says; 0: calls answer cudaErrorNoDevice. */
  int32_t device_count;
  /** 0: cudaStreamBeginCapture answers cudaErrorNotSupported, so that nothing can be recorded. */
  int32_t graphs;
  /** How long a rank waits for the others in a collective before that is a violation, in milliseconds. */
  int32_t collective_deadline_ms;
};

/** Counters of one kernel since the last reset; sectors and wavefronts with count_traffic only. */
struct SightlineEmulatorTraffic {
  uint64_t launches;
  uint64_t warp_instructions;
  uint64_t mma;
  uint64_t global_requests, global_sectors, global_ideal_sectors;
  uint64_t global_bytes_read, global_bytes_written;
  uint64_t shared_wavefronts, shared_ideal_wavefronts;
  uint64_t async_copies;
  uint64_t barriers;
};

/** What the host has asked a device to do since the last reset. What a graph does when it is launched is not among it. */
struct SightlineEmulatorCalls {
  /** Kernels and cuBLASLt's products, recorded or not. */
  uint64_t kernel_launches, products;
  /** Copies to, from and within the device, and fills. */
  uint64_t copies, fills;
  /** Waits for a stream or the device; a copy to pageable memory, which waits too, is a copy. */
  uint64_t waits;
  /** Graphs made ready to be launched, and their launches. */
  uint64_t graphs, graph_launches;
};

struct SightlineEmulatorMemory {
  /** Bytes asked for with cudaMalloc: allocated now, and most ever since the last reset. */
  uint64_t current_bytes, peak_bytes;
  /** Allocations of device memory now, and of pinned host memory (of the whole process). */
  uint64_t allocations, pinned_allocations;
};

/** The defaults: seed 1, 80 GiB, lazy, checks on, no random interleaving, late copies, no counting, 1 thread, 1 device, graphs,
 *  20 s. */
void sightline_emulator_default_settings(struct SightlineEmulatorSettings* settings);

/** The settings in force. */
void sightline_emulator_get_settings(struct SightlineEmulatorSettings* settings);

/** Resets everything (see sightline_emulator_reset), then starts with these settings. */
void sightline_emulator_configure(const struct SightlineEmulatorSettings* settings);

/**
 * Takes every device back to its beginning: queued work is dropped, streams, events, graphs and memory are gone, errors,
 * counters and attributes of kernels cleared, the random sequence starts anew. Registered kernels and pinned host memory stay.
 * No other thread may be inside a call.
 */
void sightline_emulator_reset(void);

/** Copies what went wrong first on `device` since the last reset, empty when nothing did, as much as fits with its ending
 *  zero. @returns the length of the whole text */
size_t sightline_emulator_violation(int device, char* text, size_t bytes);

/** Copies why the calling thread's last call failed: why it was refused, or what broke its device; empty after a success.
 *  @returns the length of the whole text */
size_t sightline_emulator_refusal(char* text, size_t bytes);

void sightline_emulator_memory(int device, struct SightlineEmulatorMemory* memory);

void sightline_emulator_calls(int device, struct SightlineEmulatorCalls* calls);

/** What cudaLaunchKernel calls the kernel of this (mangled) name of all libraries loaded so far; null when there is none. */
const void* sightline_emulator_kernel(const char* name);

/** Counters of the kernel number `index` in the order of names, over all devices. `name` stays valid until the next reset.
 *  @returns 1, or 0 when there are not so many kernels */
int sightline_emulator_traffic(size_t index, const char** name, struct SightlineEmulatorTraffic* traffic);

#ifdef __cplusplus
}
#endif
