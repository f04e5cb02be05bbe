#pragma once

// Kernels that map elements one by one, and what they have in common. Included by .cu files.

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"

namespace sightline::cuda {

/**
 * Calls map.at<width>(i) for i = 0, width, ... and map.at<1>(i) for what is left. One thread per vector, in order, so that a
 * warp's accesses are whole sectors; no shared memory. `map` says what is read and written; y may be x, since an element is read
 * and written by one thread.
 */
template <int width, class Map>
__global__ void __launch_bounds__(256) elementwise_kernel(Map map, int64_t count) {
  int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * width;
  if (i + width <= count)
    map.template at<width>(i);
  else
    for (; i < count; ++i) map.template at<1>(i);
}

/** @param arrays  what the map's vectors begin in: vectors of their common width where all are aligned, else single elements */
template <class Map, class... T>
void launch_elementwise(CudaContext& context, const Map& map, int64_t count, const T*... arrays) {
  constexpr int threads = 256;
  with_width(
      [&](auto width) {
        const int64_t vectors = (count + width() - 1) / width();
        context.launch(elementwise_kernel<width(), Map>, dim3(static_cast<unsigned>((vectors + threads - 1) / threads)),
                       dim3(threads), 0, map, count);
      },
      0, arrays...);
}

}  // namespace sightline::cuda
