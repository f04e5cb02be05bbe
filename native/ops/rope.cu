#include "ops/rope.h"

#include <cmath>
#include <numbers>

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"

namespace sightline::cuda {
namespace {

constexpr int rope_threads = 128;

/**
 * Where shared memory holds the k-th of `half` cosines, or sines: in pieces of 16 bytes, which a lane reads one after the
 * other, laid out such that neighbouring lanes read neighbouring pieces.
 */
template <int Elements>
__device__ inline int place_of(int k, int half) {
  constexpr int pieces = Elements < 4 ? 1 : Elements / 4, length = Elements / pieces;
  return k % Elements / length * (half / pieces) + k / Elements * length + k % length;
}

/** The elements [k, k + Elements) of what is laid out so; k is a multiple of Elements. */
template <int Elements>
__device__ inline void load_placed(const float* placed, int k, int half, float (&x)[Elements]) {
  if constexpr (Elements == 1) {
    x[0] = placed[k];
  } else {
#pragma unroll
    for (int first = 0; first < Elements; first += 4) {
      float piece[4];
      load(placed + place_of<Elements>(k + first, half), piece);
#pragma unroll
      for (int e = 0; e < 4; ++e) x[first + e] = piece[e];
    }
  }
}

/** Which position a frequency follows: that of the axis whose section it lies in. */
struct RopeAxes {
  int count, second, third, period;

  __device__ int of(int k) const { return (count > 1 && k >= second) + (count > 2 && k >= third); }
};

/**
 * One row. Grid: N. The cosines and sines of its positions are computed once, in double, into shared memory (D floats) and then
 * serve all its heads; there is no table to be kept. Turns rather than radians are what sine and cosine are taken of, so that
 * reducing the angle is exact. Registers (sm_80): at most 40.
 */
template <class T, int Elements>
__global__ void __launch_bounds__(rope_threads)
    rope_row_kernel(T* __restrict__ x, const int32_t* __restrict__ positions, int64_t row_stride, int heads, int head_size,
                    RopeAxes axes, double log2_theta, bool inverse) {
  extern __shared__ __align__(16) float shared[];
  const int half = head_size / 2;
  float *cosines = shared, *sines = shared + half;
  for (int k = static_cast<int>(threadIdx.x); k < half; k += rope_threads) {
    const double position = positions[blockIdx.x * axes.count + axes.of(k)];
    double sine, cosine;
    sincospi(position * exp2(log2_theta * (-1.0 * (k % axes.period) / axes.period)) * std::numbers::inv_pi, &sine, &cosine);
    const int place = place_of<Elements>(k, half);
    cosines[place] = static_cast<float>(cosine);
    sines[place] = static_cast<float>(inverse ? -sine : sine);
  }
  __syncthreads();
  T* row = x + blockIdx.x * row_stride;
  const int vectors = half / Elements;
  for (int i = static_cast<int>(threadIdx.x); i < heads * vectors; i += rope_threads) {
    const int k = i % vectors * Elements;
    T* low = row + i / vectors * head_size + k;
    float a[Elements], b[Elements], cosine[Elements], sine[Elements], turned_a[Elements], turned_b[Elements];
    load(low, a);
    load(low + half, b);
    load_placed(cosines, k, half, cosine);
    load_placed(sines, k, half, sine);
#pragma unroll
    for (int e = 0; e < Elements; ++e) {
      turned_a[e] = a[e] * cosine[e] - b[e] * sine[e];
      turned_b[e] = b[e] * cosine[e] + a[e] * sine[e];
    }
    store(low, turned_a);
    store(low + half, turned_b);
  }
}

}  // namespace

void rope(CudaContext& context, const RopeArgs& args) {
  const auto shared_bytes = static_cast<size_t>(args.head_size) * sizeof(float);
  const RopeAxes axes{static_cast<int>(args.axes), static_cast<int>(args.first_of(1)), static_cast<int>(args.first_of(2)),
                      static_cast<int>(args.period())};
  const double log2_theta = std::log2(static_cast<double>(args.theta));
  with_type(args.x.type, [&](auto stored) {
    using T = typename decltype(stored)::type;
    with_width(
        [&](auto width) {
          context.launch(rope_row_kernel<T, width.value>, dim3(static_cast<unsigned>(args.rows)), dim3(rope_threads), shared_bytes,
                         args.x.as<T>(), args.positions.device, args.row_stride, static_cast<int>(args.heads),
                         static_cast<int>(args.head_size), axes, log2_theta, args.inverse);
        },
        args.head_size / 2 | args.row_stride, args.x.as<T>());
  });
}

}  // namespace sightline::cuda
