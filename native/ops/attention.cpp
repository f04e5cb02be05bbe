#include "ops/attention.h"

#include "ops/attention_tile.h"
#include "ops/op_table.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

constexpr int tile_rows = 8;

/** A segment as stored: rows [first, first + length), behind the `before` positions of its prefix. */
struct Segment {
  int64_t first, length, before;
};

/**
 * A root segment with the segments that continue it: the unit whose keys are shared, and so the unit of work (per key
 * head). Its order is fixed by the data, so the sums of the backward pass are too.
 */
struct Family {
  const int32_t* segments;
  int64_t root, end;

  Segment at(int64_t i) const {
    const int32_t* s = segments + 3 * i;
    return {s[0], s[1], s[2] < 0 ? 0 : segments[3 * s[2] + 1]};
  }
  int64_t longest() const {
    int64_t longest = 0;
    for (int64_t i = root; i < end; ++i) longest = max(longest, at(i).before + at(i).length);
    return longest;
  }
};

/** Calls body(family, kv_head, thread) for every family and key head. */
template <class Body>
void for_each_family(ExecutionContext& context, const int32_t* segments, int64_t count, int64_t kv_heads, const Body& body) {
  // Index of the first segment of each family, behind a slot for none.
  int64_t families = 0;
  for (int64_t i = 0; i < count; ++i) families += segments[3 * i + 2] < 0;
  auto* roots = reinterpret_cast<int64_t*>(context.shared_scratch(2 * (families + 1)));
  for (int64_t i = 0, f = 0; i < count; ++i)
    if (segments[3 * i + 2] < 0) roots[f++] = i;
  roots[families] = count;
  context.pool().parallel_for(families * kv_heads, [&](int64_t task, int thread) {
    const int64_t f = task / kv_heads;
    body(Family{segments, roots[f], roots[f + 1]}, task % kv_heads, thread);
  });
}

/** x transposed into blocks: column `position` of the block layout (blocks, D, block_keys). */
inline void put_transposed(float* blocks, int64_t position, int64_t head_size, const float* x) {
  float* to = blocks + position / block_keys * block_keys * head_size + position % block_keys;
  for (int64_t c = 0; c < head_size; ++c) to[c * block_keys] = x[c];
}

inline void put_padded(float* rows, int64_t position, int64_t head_size, int64_t width, const float* x) {
  float* to = rows + position * width;
  for (int64_t c = 0; c < head_size; ++c) to[c] = x[c];
  for (int64_t c = head_size; c < width; ++c) to[c] = 0.0f;
}

/** Runs body<Rows>(row) over [0, rows) in tiles of 8, then 4, 2, 1. */
template <int Rows, class Body>
inline void for_each_tile(int64_t row, int64_t rows, const Body& body) {
  for (; row + Rows <= rows; row += Rows) body.template operator()<Rows>(row);
  if constexpr (Rows > 1) for_each_tile<Rows / 2>(row, rows, body);
}

}  // namespace

void attention(ExecutionContext& context, const AttentionArgs& args) {
  const int64_t d = args.head_size, width = padded_head_size(d), group = args.heads / args.kv_heads;
  const int64_t row_stride = (args.heads + 2 * args.kv_heads) * d;
  for_each_family(context, args.segments, args.segment_count, args.kv_heads,
                  [&](const Family& family, int64_t kv_head, int thread) {
    const int64_t blocks = (family.longest() + block_keys - 1) / block_keys;
    float* keys = context.thread_scratch(thread, blocks * block_keys * (d + width));
    float* values = keys + blocks * block_keys * d;
    const auto block = [&](int64_t i) { return KeyValueBlock{keys + i * block_keys * d, values + i * block_keys * width}; };
    for (int64_t i = family.root; i < family.end; ++i) {
      const Segment s = family.at(i);
      // The keys of the root stay where they are; those of the segment before this one are overwritten.
      for (int64_t t = 0; t < s.length; ++t) {
        const float* key = args.qkv + (s.first + t) * row_stride + (args.heads + kv_head) * d;
        put_transposed(keys, s.before + t, d, key);
        put_padded(values, s.before + t, d, width, key + args.kv_heads * d);
      }
      for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h)
        for_each_tile<tile_rows>(0, s.length, [&]<int Rows>(int64_t t) {
          const float* q[Rows];
          float *out[Rows], *lse[Rows];
          int64_t visible[Rows];
          for (int r = 0; r < Rows; ++r) {
            const int64_t row = s.first + t + r;
            q[r] = args.qkv + row * row_stride + h * d;
            out[r] = args.out + (row * args.heads + h) * d;
            lse[r] = args.log_sum_exp + row * args.heads + h;
            visible[r] = args.causal ? s.before + t + r + 1 : s.length;
          }
          attend_rows<Rows>(q, visible, block, d, args.scale, out, lse);
        });
    }
  });
}

namespace {

/** Scratch of one family and key head in the backward pass, over all positions of its longest sequence. */
struct BackwardScratch {
  float* keys_transposed;    // (blocks, D, block_keys)
  float* values_transposed;  // (blocks, D, block_keys)
  float* keys;               // (positions, padded D)
  float* dkeys;              // (positions, padded D), summed
  float* dvalues;            // (positions, padded D), summed
};

/** gradients[s] += sum_r weights[r][s] * rows[r] over the first `keys` keys. */
template <int Rows>
inline void add_outer(const float (*weights)[block_keys], const float (*rows)[max_padded_head_size], int64_t width,
                      int64_t keys, float* gradients) {
  for (int64_t c = 0; c < width; c += lanes) {
    Vec x[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) x[r] = load(rows[r] + c);
    for (int64_t s = 0; s < keys; ++s) {
      Vec sum = load(gradients + s * width + c);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) sum = fma(broadcast(weights[r][s]), x[r], sum);
      store(gradients + s * width + c, sum);
    }
  }
}

template <int Rows>
inline void backward_tile(const AttentionBackwardArgs& args, const BackwardScratch& scratch, int64_t first_row, int64_t head,
                          const int64_t* visible) {
  const int64_t d = args.head_size, width = padded_head_size(d), row_stride = (args.heads + 2 * args.kv_heads) * d;
  alignas(64) float q[Rows][max_padded_head_size], dout[Rows][max_padded_head_size], dq[Rows][max_padded_head_size];
  alignas(64) float weights[Rows][block_keys], dscores[Rows][block_keys];
  const float *q_rows[Rows], *dout_rows[Rows];
  float delta[Rows], lse[Rows];
  int64_t most = 0;
  for (int r = 0; r < Rows; ++r) {
    const int64_t row = first_row + r, at = (row * args.heads + head) * d;
    q_rows[r] = q[r];
    dout_rows[r] = dout[r];
    put_padded(q[r], 0, d, width, args.qkv + row * row_stride + head * d);
    put_padded(dout[r], 0, d, width, args.dout + at);
    delta[r] = 0.0f;
    for (int64_t c = 0; c < d; ++c) delta[r] += args.dout[at + c] * args.out[at + c];
    for (int64_t c = 0; c < width; ++c) dq[r][c] = 0.0f;
    lse[r] = args.log_sum_exp[row * args.heads + head];
    most = max(most, visible[r]);
  }
  const Vec numbers = lane_numbers();
  for (int64_t first = 0; first < most; first += block_keys) {
    const int64_t keys = min(block_keys, most - first);
    const int vectors = static_cast<int>((keys + lanes - 1) / lanes);
    score_block<Rows>(q_rows, scratch.keys_transposed + first * d, d, vectors, weights);
    score_block<Rows>(dout_rows, scratch.values_transposed + first * d, d, vectors, dscores);
    for (int r = 0; r < Rows; ++r) {
      const Vec limit = broadcast(static_cast<float>(min(block_keys, max(0, visible[r] - first))));
      for (int v = 0; v < vectors; ++v) {
        const Vec seen = numbers + broadcast(static_cast<float>(v * lanes));
        const Vec score = load(weights[r] + v * lanes) * broadcast(args.scale) - broadcast(lse[r]);
        const Vec weight = exp(seen < limit ? score : broadcast(minus_infinity));
        const Vec dweight = seen < limit ? load(dscores[r] + v * lanes) - broadcast(delta[r]) : zero();
        store(weights[r] + v * lanes, weight);
        store(dscores[r] + v * lanes, weight * dweight * broadcast(args.scale));
      }
    }
    add_weighted_rows<Rows>(dscores, scratch.keys + first * width, width, keys, dq);
    add_outer<Rows>(dscores, q, width, keys, scratch.dkeys + first * width);
    add_outer<Rows>(weights, dout, width, keys, scratch.dvalues + first * width);
  }
  for (int r = 0; r < Rows; ++r)
    for (int64_t c = 0; c < d; ++c) args.dqkv[(first_row + r) * row_stride + head * d + c] = dq[r][c];
}

}  // namespace

void attention_backward(ExecutionContext& context, const AttentionBackwardArgs& args) {
  const int64_t d = args.head_size, width = padded_head_size(d), group = args.heads / args.kv_heads;
  const int64_t row_stride = (args.heads + 2 * args.kv_heads) * d;
  for_each_family(context, args.segments, args.segment_count, args.kv_heads,
                  [&](const Family& family, int64_t kv_head, int thread) {
    const int64_t positions = (family.longest() + block_keys - 1) / block_keys * block_keys;
    BackwardScratch scratch;
    scratch.keys_transposed = context.thread_scratch(thread, positions * (2 * d + 3 * width));
    scratch.values_transposed = scratch.keys_transposed + positions * d;
    scratch.keys = scratch.values_transposed + positions * d;
    scratch.dkeys = scratch.keys + positions * width;
    scratch.dvalues = scratch.dkeys + positions * width;
    const auto write_gradients = [&](const Segment& s) {
      for (int64_t t = 0; t < s.length; ++t) {
        float* dkey = args.dqkv + (s.first + t) * row_stride + (args.heads + kv_head) * d;
        float* dvalue = dkey + args.kv_heads * d;
        for (int64_t c = 0; c < d; ++c) dkey[c] = scratch.dkeys[(s.before + t) * width + c];
        for (int64_t c = 0; c < d; ++c) dvalue[c] = scratch.dvalues[(s.before + t) * width + c];
      }
    };
    for (int64_t i = family.root; i < family.end; ++i) {
      const Segment s = family.at(i);
      for (int64_t t = 0; t < s.length; ++t) {
        const float* key = args.qkv + (s.first + t) * row_stride + (args.heads + kv_head) * d;
        put_transposed(scratch.keys_transposed, s.before + t, d, key);
        put_transposed(scratch.values_transposed, s.before + t, d, key + args.kv_heads * d);
        put_padded(scratch.keys, s.before + t, d, width, key);
        for (int64_t c = 0; c < width; ++c)
          scratch.dkeys[(s.before + t) * width + c] = scratch.dvalues[(s.before + t) * width + c] = 0.0f;
      }
      for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h)
        for_each_tile<tile_rows>(0, s.length, [&]<int Rows>(int64_t t) {
          int64_t visible[Rows];
          for (int r = 0; r < Rows; ++r) visible[r] = args.causal ? s.before + t + r + 1 : s.length;
          backward_tile<Rows>(args, scratch, s.first + t, h, visible);
        });
      if (i != family.root) write_gradients(s);
    }
    // Only now have all segments that continue the root added their part.
    write_gradients(family.at(family.root));
  });
}

}  // namespace sightline::SIGHTLINE_ISA
