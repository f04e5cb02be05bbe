#include "ops/embed.h"

#include "cuda/cuda_context.h"
#include "cuda/elements.cuh"
#include "cuda/scatter_rows.cuh"

// Forward: one block per row, which copies it from where its id says; bound by memory traffic. Registers on sm_80: at most 48.
// Backward: see `scatter_rows_kernel`.

namespace sightline::cuda {

template <int width, class Table, class Features>
__global__ void __launch_bounds__(256) embed_rows_kernel(const Table* table, const Features* features, const int32_t* ids, float* y,
                                                         int64_t columns, float scale) {
  const int64_t id = ids[blockIdx.x];
  float* to = y + blockIdx.x * columns;
  const auto copy = [&](const auto* from, float factor) {
    for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
      float v[width];
      load(from + i, v);
#pragma unroll
      for (int j = 0; j < width; ++j) v[j] *= factor;
      store(to + i, v);
    }
  };
  if (id >= 0)
    copy(table + id * columns, scale);
  else
    copy(features + (-1 - id) * columns, 1.0f);
}

namespace {

/** The rows of the token table. */
struct TableRows {
  float* table;
  float factor;
  __device__ float* row(int32_t id, int64_t columns) const { return id < 0 ? nullptr : table + id * columns; }
  __device__ float scale(int32_t) const { return factor; }
};

/** The rows of the image features. */
template <class T>
struct FeatureRows {
  T* features;
  __device__ T* row(int32_t id, int64_t columns) const { return id < 0 ? features + (-1 - static_cast<int64_t>(id)) * columns : nullptr; }
  __device__ float scale(int32_t) const { return 1.0f; }
};

}  // namespace

void embed(CudaContext& context, const EmbedArgs& a) {
  with_type(a.table.type, [&]<class Table>(Type<Table>) {
    with_type(a.features.type, [&]<class Features>(Type<Features>) {
      const Table* table = a.table.as<Table>();
      const Features* features = a.features.as<Features>();
      with_width(
          [&](auto width) {
            context.launch(embed_rows_kernel<width(), Table, Features>, dim3(static_cast<unsigned>(a.rows)),
                           dim3(row_threads(a.columns / width())), 0, table, features, a.ids.device, a.y, a.columns, a.scale);
          },
          a.columns, table, features, a.y);
    });
  });
}

void embed_backward(CudaContext& context, const EmbedBackwardArgs& a) {
  if (a.dtable)
    launch_scatter_rows(context, a.dy, a.ids.device, TableRows{a.dtable, a.scale}, a.rows, a.columns, a.dtable);
  if (!a.dfeatures) return;
  with_type(a.dfeatures.type, [&]<class T>(Type<T>) {
    T* features = a.dfeatures.as<T>();
    launch_scatter_rows(context, a.dy, a.ids.device, FeatureRows<T>{features}, a.rows, a.columns, features);
  });
}

}  // namespace sightline::cuda
