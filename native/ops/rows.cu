#include "ops/rows.h"

#include "cuda/column_sums.cuh"
#include "cuda/elementwise.cuh"
#include "cuda/scatter_rows.cuh"

// gather_rows: one block per row. scatter_add_rows: `scatter_rows_kernel`. sum_rows: `column_partials_kernel`. add:
// `elementwise_kernel`. All are bound by memory traffic; x and y may be stored in different types. Registers on sm_80: at most 71.

namespace sightline::cuda {

template <int width, class X, class Y>
__global__ void __launch_bounds__(256) gather_rows_kernel(const X* x, const int32_t* indices, Y* y, int64_t columns) {
  const X* from = x + indices[blockIdx.x] * columns;
  Y* to = y + blockIdx.x * columns;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float v[width];
    load(from + i, v);
    store(to + i, v);
  }
}

namespace {

template <class T>
struct ScaledRows {
  T* y;
  float factor;
  __device__ T* row(int32_t index, int64_t columns) const { return y + index * columns; }
  __device__ float scale(int32_t) const { return factor; }
};

template <class T>
struct Rows {
  static constexpr int count = 1;
  const T* x;
  int64_t columns;

  template <int width>
  __device__ void at(int64_t row, int64_t column, float (&values)[count][width]) const {
    load(x + row * columns + column, values[0]);
  }
};

template <class X, class Y>
struct Add {
  const X* x;
  Y* y;

  template <int width>
  __device__ void at(int64_t i) const {
    float from[width], to[width];
    load(x + i, from);
    load(y + i, to);
#pragma unroll
    for (int j = 0; j < width; ++j) to[j] += from[j];
    store(y + i, to);
  }
};

/** Calls body(const X*, Y*) with the addresses of x and y in their types. */
template <class Body>
void with_types(ConstElements x, Elements y, const Body& body) {
  with_type(x.type, [&]<class X>(Type<X>) { with_type(y.type, [&]<class Y>(Type<Y>) { body(x.as<X>(), y.as<Y>()); }); });
}

}  // namespace

void gather_rows(CudaContext& context, const GatherRowsArgs& a) {
  with_types(a.x, a.y, [&]<class X, class Y>(const X* x, Y* y) {
    with_width(
        [&](auto width) {
          context.launch(gather_rows_kernel<width(), X, Y>, dim3(static_cast<unsigned>(a.count)),
                         dim3(row_threads(a.columns / width())), 0, x, a.indices.device, y, a.columns);
        },
        a.columns, x, y);
  });
}

void scatter_add_rows(CudaContext& context, const ScatterAddRowsArgs& a) {
  with_types(a.x, a.y, [&]<class X, class Y>(const X* x, Y* y) {
    launch_scatter_rows(context, x, a.indices.device, ScaledRows<Y>{y, a.scale}, a.count, a.columns, y);
  });
}

void sum_rows(CudaContext& context, const SumRowsArgs& a) {
  with_type(a.x.type, [&]<class T>(Type<T>) {
    const T* x = a.x.as<T>();
    // Partial sums are fp32: 4 columns at a time whatever x is.
    add_column_sums<vector_width<T, float>>(context, Rows<T>{x, a.columns}, vectors_fit(a.columns, x, static_cast<float*>(nullptr)),
                                            a.rows, a.columns, {a.sums});
  });
}

void add(CudaContext& context, const AddArgs& a) {
  with_types(a.x, a.y,
             [&]<class X, class Y>(const X* x, Y* y) { launch_elementwise(context, Add<X, Y>{x, y}, a.count, x, y); });
}

}  // namespace sightline::cuda
