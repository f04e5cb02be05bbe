#pragma once

// How ops cut rows into tasks. Included by op sources only, each of which is compiled once per path.

#include "core/cpu_context.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {

/** Elements of one task: enough to be worth handing to a thread, few enough to share evenly. */
inline constexpr int64_t task_elements = 1 << 15;

/** Rows [first, last) of one task, the index-th block of its op. */
struct RowBlock {
  int64_t index, first, last;
  int thread;
};

/** A function of the columns alone, so that a sum by blocks is the same on any number of threads. */
inline int64_t rows_per_block(int64_t columns) {
  return max(int64_t{1}, task_elements / max(int64_t{1}, columns));
}

inline int64_t row_block_count(int64_t rows, int64_t columns) {
  const int64_t block = rows_per_block(columns);
  return (rows + block - 1) / block;
}

/** Blocks of all elements of tensors of `counts` elements. */
inline int64_t tensor_block_count(const int64_t* counts, int64_t tensors) {
  int64_t blocks = 0;
  for (int64_t tensor = 0; tensor < tensors; ++tensor) blocks += row_block_count(counts[tensor], 1);
  return blocks;
}

/** Calls body(RowBlock) for every block of `rows` rows; a single block runs on the caller's thread. */
template <class Body>
inline void for_row_blocks(CpuContext& context, int64_t rows, int64_t columns, const Body& body) {
  const int64_t block = rows_per_block(columns);
  context.pool().parallel_for(row_block_count(rows, columns), [&](int64_t task, int thread) {
    body(RowBlock{task, task * block, min(rows, (task + 1) * block), thread});
  });
}

/** As for_row_blocks, over single elements. */
template <class Body>
inline void for_element_blocks(CpuContext& context, int64_t count, const Body& body) {
  for_row_blocks(context, count, 1, body);
}

/**
 * Calls body(tensor, RowBlock) for every block of elements of every tensor. Blocks are numbered through, those of one tensor
 * after those of the tensor before.
 * @param counts  (tensors) elements of each
 */
template <class Body>
inline void for_tensor_blocks(CpuContext& context, const int64_t* counts, int64_t tensors, const Body& body) {
  context.pool().parallel_for(tensor_block_count(counts, tensors), [&](int64_t task, int thread) {
    int64_t tensor = 0, index = task;
    for (int64_t blocks; index >= (blocks = row_block_count(counts[tensor], 1)); ++tensor) index -= blocks;
    const int64_t block = rows_per_block(1);
    body(tensor, RowBlock{task, index * block, min(counts[tensor], (index + 1) * block), thread});
  });
}

/** Calls body(first, last) for ranges that cover [0, columns); small inputs stay in one. */
template <class Body>
inline void for_column_blocks(CpuContext& context, int64_t rows, int64_t columns, const Body& body) {
  constexpr int64_t alignment = 64;  // four cache lines: pieces of rows as short as one are slow to fetch
  const int64_t wanted = max(int64_t{1}, task_elements / max(int64_t{1}, rows));
  const int64_t block = (wanted + alignment - 1) / alignment * alignment;
  context.pool().parallel_for((columns + block - 1) / block, [&](int64_t task, int) {
    body(task * block, min(columns, (task + 1) * block));
  });
}

/** y += scale * x, rounded to fp32 after the product and after the sum, and to y's type in the end. */
template <class X, class Y>
inline void add_scaled_row(float scale, const X* x, Y* y, int64_t columns) {
  for_vectors(columns, [&](int64_t i, auto n) {
    store(y + i, load(y + i, n) + broadcast(scale) * load(x + i, n), n);
  });
}

template <class X, class Y>
inline void add_row(const X* x, Y* y, int64_t columns) {
  for_vectors(columns, [&](int64_t i, auto n) { store(y + i, load(y + i, n) + load(x + i, n), n); });
}

inline void clear_row(float* y, int64_t columns) {
  for_vectors(columns, [&](int64_t i, auto n) { store(y + i, zero(), n); });
}

/** target += the sum of partials (blocks, columns) in order of block; partials are overwritten. */
inline void add_partials(float* partials, int64_t blocks, int64_t columns, float* target) {
  if (blocks == 0) return;
  for (int64_t block = 1; block < blocks; ++block) add_row(partials + block * columns, partials, columns);
  add_row(partials, target, columns);
}

}  // namespace sightline::SIGHTLINE_ISA
