#include "ops/attention.h"
#include "ops/attention_segments.h"
#include "ops/op_table.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

/** Queries taken together: what a key receives from them is summed in registers. */
constexpr int64_t chunk_rows = 64;

// One line more, so that the rows do not meet in few sets of the cache.
constexpr int64_t score_step = block_keys + 16;

// A tile of keys lies within one vector of keys, so that a row that sees one of them has computed weights for all.
static_assert(lanes % tile_rows == 0);

/** Scratch of one family and key head, over all positions of its longest sequence, and of one chunk of queries. */
struct Scratch {
  float* keys_t;    // (blocks, depth, block_keys), see product_depth
  float* values_t;  // (blocks, depth, block_keys)
  float* keys;      // (positions, padded D)
  float* dkeys;     // (positions, padded D), summed
  float* dvalues;   // (positions, padded D), summed
  float* q;         // (chunk_rows, padded D)
  float* dout;      // (chunk_rows, padded D)
  float* dq;        // (chunk_rows, padded D), summed
  float* weights;   // (chunk_rows, score_step): P for one block of keys
  float* dscores;   // (chunk_rows, score_step): first dP, then dS
  float* delta;     // (chunk_rows)
  float* lse;       // (chunk_rows): log_sum_exp, in units of log 2

  static int64_t size(int64_t positions, int64_t depth, int64_t width) {
    return positions * (2 * depth + 3 * width) + chunk_rows * (3 * width + 2 * score_step + 2);
  }
  Scratch(float* memory, int64_t positions, int64_t depth, int64_t width) {
    const auto take = [&](int64_t count) {
      float* taken = memory;
      memory += count;
      return taken;
    };
    keys_t = take(positions * depth), values_t = take(positions * depth);
    keys = take(positions * width), dkeys = take(positions * width), dvalues = take(positions * width);
    q = take(chunk_rows * width), dout = take(chunk_rows * width), dq = take(chunk_rows * width);
    weights = take(chunk_rows * score_step), dscores = take(chunk_rows * score_step);
    delta = take(chunk_rows), lse = take(chunk_rows);
  }
};

/** sums[r] (+)= sum_s weights[r * row_step + s * step] * x[s] over `count` rows x[s]; x and sums are `width` wide. */
template <int Rows>
inline void add_weighted_rows(const float* weights, int64_t row_step, int64_t step, const float* x, int64_t width,
                              int64_t count, float* sums, bool from_zero) {
  for_each_tile<tile_columns<Rows>>(0, width / lanes, [&]<int Columns>(int64_t v) {
    float* to = sums + v * lanes;
    Vec sum[Rows][Columns] = {};
    if (!from_zero)
      for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < Columns; ++c) sum[r][c] = load(to + r * width + c * lanes);
    accumulate(sum, weights, row_step, step, Elementwise<float>{x + v * lanes, width}, count);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < Columns; ++c) store(to + r * width + c * lanes, sum[r][c]);
  });
}

/**
 * Turns the scores of one row into P and its dP into dS.
 *
 * @param seen  keys of the block that the row sees; for the others up to `end`, a multiple of `lanes`, both become zero
 */
inline void to_weights(float* weights, float* dscores, int64_t seen, int64_t end, float scale, float lse, float delta) {
  const Vec exponent_scale = broadcast(scale * log2_e);
  const auto at = [&](int64_t s, auto weight_of, auto dweight_of) {
    // Rounding may leave a score above the logarithm of the sum.
    const Vec exponent = min(zero(), fma(load(weights + s), exponent_scale, broadcast(-lse)));
    const Vec weight = exp2_nonpositive(weight_of(exponent));
    const Vec dweight = dweight_of(load(dscores + s) - broadcast(delta));
    store(weights + s, weight);
    store(dscores + s, weight * broadcast(scale) * dweight);
  };
  const auto all = [](Vec x) { return x; };
  int64_t s = 0;
  for (; s + lanes <= seen; s += lanes) at(s, all, all);
  if (s < seen) {
    at(s, [&](Vec x) { return first_lanes(x, seen - s); }, [&](Vec x) { return keep(x, Part{seen - s}); });
    s += lanes;
  }
  for (; s < end; s += lanes) store(weights + s, zero()), store(dscores + s, zero());
}

/**
 * `count` rows of D elements stored as T, `step` apart, as the left operand of a product along D: where they are, if the
 * product takes them in pairs, otherwise their copies in fp32.
 */
template <class T>
inline Rowwise<const float> product_rows(const T* x, int64_t step, const float* copies, int64_t copy_step) {
  if constexpr (in_pairs<T>)
    return {reinterpret_cast<const float*>(x), step / 2};
  else
    return {copies, copy_step};
}

/** The queries [begin, begin + rows) of a segment, of head h, against all keys that they see. */
template <class T>
void backward_chunk(const AttentionBackwardArgs& args, const Scratch& scratch, const Segment& segment, int64_t begin,
                    int64_t rows, int64_t h) {
  const int64_t d = args.head_size, width = padded_head_size(d), row_stride = (args.heads + 2 * args.kv_heads) * d;
  const int64_t first_row = segment.first + begin;
  const T* q = args.qkv.as<T>() + first_row * row_stride + h * d;
  const T* dout = args.dout.as<T>() + (first_row * args.heads + h) * d;
  put_padded(scratch.q, rows, d, q, row_stride);
  put_padded(scratch.dout, rows, d, dout, args.heads * d);
  const auto q_rows = product_rows(q, row_stride, scratch.q, width);
  const auto dout_rows = product_rows(dout, args.heads * d, scratch.dout, width);
  const auto as_is = [](Vec x) { return x; };
  for (int64_t t = 0; t < rows; ++t) {
    const int64_t at = (first_row + t) * args.heads + h;
    scratch.delta[t] = sum_vectors(d, [&](int64_t c, auto n) {
      return load(args.dout.as<T>() + at * d + c, n) * load(args.out.as<T>() + at * d + c, n);
    });
    scratch.lse[t] = args.log_sum_exp[at] * log2_e;
  }
  const int64_t most = segment.visible(begin + rows - 1, args.causal);
  for (int64_t first = 0; first < most; first += block_keys) {
    const int64_t keys = min(block_keys, most - first);
    for_each_tile<tile_rows>(0, rows, [&]<int Rows>(int64_t t) {
      const int64_t tile_keys = min(keys, segment.visible(begin + t + Rows - 1, args.causal) - first);
      if (tile_keys <= 0) return;
      float *weights = scratch.weights + t * score_step, *dscores = scratch.dscores + t * score_step;
      const auto multiply = [&](const Rowwise<const float>& x, const float* blocks, float* products) {
        score_block<Rows>(x.first + t * x.step, x.step, transposed_block<T>(blocks, first / block_keys, d), product_depth<T>(d),
                          tile_keys, products, score_step, as_is);
      };
      multiply(q_rows, scratch.keys_t, weights);
      multiply(dout_rows, scratch.values_t, dscores);
      const int64_t end = (tile_keys + lanes - 1) / lanes * lanes;
      for (int r = 0; r < Rows; ++r) {
        const int64_t seen = min(tile_keys, max(0, segment.visible(begin + t + r, args.causal) - first));
        to_weights(weights + r * score_step, dscores + r * score_step, seen, end, args.scale, scratch.lse[t + r],
                   scratch.delta[t + r]);
      }
      add_weighted_rows<Rows>(dscores, score_step, 1, scratch.keys + first * width, width, tile_keys, scratch.dq + t * width,
                              first == 0);
    });
    for (int64_t s = 0; s < keys; s += tile_rows) {
      // The first row that sees a key of the tile.
      const int64_t t = args.causal ? max(0, first + s - segment.before - begin) : 0;
      const auto add = [&](const float* weights, const float* x, float* sums) {
        add_weighted_rows<tile_rows>(weights + t * score_step + s, 1, score_step, x + t * width, width, rows - t,
                                     sums + (first + s) * width, false);
      };
      add(scratch.dscores, scratch.q, scratch.dkeys);
      add(scratch.weights, scratch.dout, scratch.dvalues);
    }
  }
  for (int64_t t = 0; t < rows; ++t)
    for_vectors(d, [&](int64_t c, auto n) {
      store(args.dqkv.as<T>() + (first_row + t) * row_stride + h * d + c, load(scratch.dq + t * width + c), n);
    });
}

template <class T>
void backward(CpuContext& context, const AttentionBackwardArgs& args) {
  const int64_t d = args.head_size, width = padded_head_size(d), depth = product_depth<T>(d), group = args.heads / args.kv_heads;
  const int64_t row_stride = (args.heads + 2 * args.kv_heads) * d;
  for_each_family(context, args, false, [&](const FamilyTask& task) {
    const int64_t positions = task.family.positions();
    const Scratch scratch(context.thread_scratch(task.thread, Scratch::size(positions, depth, width)), positions, depth, width);
    const auto write_gradients = [&](const Segment& s) {
      for (int64_t t = 0; t < s.length; ++t) {
        T* dkey = args.dqkv.as<T>() + (s.first + t) * row_stride + (args.heads + task.kv_head) * d;
        for_vectors(d, [&](int64_t c, auto n) {
          store(dkey + c, load(scratch.dkeys + (s.before + t) * width + c), n);
          store(dkey + args.kv_heads * d + c, load(scratch.dvalues + (s.before + t) * width + c), n);
        });
      }
    };
    for (int64_t i = task.family.root; i < task.family.end; ++i) {
      const Segment s = task.family.at(i);
      const T* key = args.qkv.as<T>() + s.first * row_stride + (args.heads + task.kv_head) * d;
      put_transposed(scratch.keys_t, s.before, s.length, d, key, row_stride);
      put_transposed(scratch.values_t, s.before, s.length, d, key + args.kv_heads * d, row_stride);
      put_padded(scratch.keys + s.before * width, s.length, d, key, row_stride);
      std::memset(scratch.dkeys + s.before * width, 0, static_cast<size_t>(s.length * width) * sizeof(float));
      std::memset(scratch.dvalues + s.before * width, 0, static_cast<size_t>(s.length * width) * sizeof(float));
      for (int64_t h = task.kv_head * group; h < (task.kv_head + 1) * group; ++h) {
        for (int64_t t = 0; t < s.first_query; ++t)
          std::memset(args.dqkv.as<T>() + (s.first + t) * row_stride + h * d, 0, static_cast<size_t>(d) * sizeof(T));
        for (int64_t t = s.first_query; t < s.length; t += chunk_rows)
          backward_chunk<T>(args, scratch, s, t, min(chunk_rows, s.length - t), h);
      }
      if (i != task.family.root) write_gradients(s);
    }
    // Only now have all segments that continue the root added their part.
    write_gradients(task.family.at(task.family.root));
  });
}

}  // namespace

void attention_backward(CpuContext& context, const AttentionBackwardArgs& args) {
  require_one_type("attention_backward", "dout, qkv, out and dqkv",
                   {args.dout.type, args.qkv.type, args.out.type, args.dqkv.type});
  require_pairs("attention_backward.head_size", args.qkv.type, args.head_size);
  with_type(args.qkv.type, [&]<class T>(T) { backward<T>(context, args); });
}

}  // namespace sightline::SIGHTLINE_ISA
