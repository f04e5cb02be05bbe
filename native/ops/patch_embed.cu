#include "ops/patch_embed.h"

#include <algorithm>

#include "cuda/cuda_context.h"
#include "cuda/cuda_ops.h"
#include "cuda/elements.cuh"

// Patches are written out as a matrix, in the type that the product multiplies, for a chunk of images at a time; the product is
// cuBLASLt's. One block per patch; its threads follow the matrix, so that stores are whole sectors, while loads are pieces of
// patch_size pixels (14 of fp32 touch about 1.5 times the sectors that they fill, the rest of which neighbouring patches find in
// L1). A 336 x 336 image is 1.4 MB, so that neither is worth more. Registers on sm_80: at most 32.

namespace sightline::cuda {

/** patches[patch][(channel, row, column)], where patches run row by row through one image after the other. */
template <class T>
__global__ void __launch_bounds__(256) patch_embed_patches_kernel(const float* pixels, T* patches, int channels, int size, int patch_size) {
  const int per_side = size / patch_size, per_image = per_side * per_side, area = patch_size * patch_size;
  const int64_t image = blockIdx.x / per_image;
  const int patch = static_cast<int>(blockIdx.x % per_image), elements = channels * area;
  const float* corner = pixels + image * channels * size * size + patch / per_side * patch_size * size + patch % per_side * patch_size;
  T* to = patches + static_cast<int64_t>(blockIdx.x) * elements;
  for (int i = static_cast<int>(threadIdx.x); i < elements; i += static_cast<int>(blockDim.x)) {
    const int channel = i / area, row = i % area / patch_size, column = i % patch_size;
    const float value[1] = {corner[(channel * size + row) * size + column]};
    store(to + i, value);
  }
}

/** y[row] = position[row % per_image] + bias, to which the product is added. One block per row. */
template <int width>
__global__ void __launch_bounds__(256) patch_embed_positions_kernel(const float* position, const float* bias, float* y, int per_image,
                                                                    int64_t columns) {
  const float* from = position + blockIdx.x % per_image * columns;
  float* to = y + blockIdx.x * columns;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float v[width], b[width];
    load(from + i, v);
    load(bias + i, b);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] += b[j];
    store(to + i, v);
  }
}

namespace {

/** The patches of a chunk of images, as the left operand of the forward product. */
struct Patches {
  static constexpr int64_t chunk_elements = 1 << 23;  // 16 or 32 MB

  CudaContext& context;
  const float* pixels;
  int64_t images, channels, size, patch_size;
  DType type;
  void* data = nullptr;

  int64_t per_image() const { return (size / patch_size) * (size / patch_size); }
  int64_t elements() const { return channels * patch_size * patch_size; }
  /** A function of the image alone, so that sums by chunk are the same whatever the number of images. */
  int64_t images_per_chunk() const { return std::max(int64_t{1}, chunk_elements / (per_image() * elements())); }

  /** Calls body(first row of patches, rows, the patches) for each chunk. */
  template <class Body>
  void for_chunks(const Body& body) {
    const int64_t chunk = std::min(images, images_per_chunk());
    data = context.scratch(static_cast<size_t>(chunk * per_image() * elements() * size_of(type)));
    for (int64_t first = 0; first < images; first += chunk) {
      const int64_t rows = std::min(chunk, images - first) * per_image();
      const float* from = pixels + first * channels * size * size;
      with_type(type, [&]<class T>(Type<T>) {
        context.launch(patch_embed_patches_kernel<T>, dim3(static_cast<unsigned>(rows)), dim3(row_threads(elements())), 0, from,
                       static_cast<T*>(data), static_cast<int>(channels), static_cast<int>(size), static_cast<int>(patch_size));
      });
      body(first * per_image(), rows, ConstElements(data, type));
    }
  }
};

DType operand_type(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

}  // namespace

void patch_embed(CudaContext& context, const PatchEmbedArgs& a) {
  if (a.images == 0) return;
  Patches patches{context, a.pixels, a.images, a.channels, a.size, a.patch_size, operand_type(a.precision)};
  with_width(
      [&](auto width) {
        context.launch(patch_embed_positions_kernel<width()>, dim3(static_cast<unsigned>(a.images * patches.per_image())),
                       dim3(row_threads(a.columns / width())), 0, a.position, a.bias, a.y, static_cast<int>(patches.per_image()),
                       a.columns);
      },
      a.columns, a.position, a.bias, a.y);
  patches.for_chunks([&](int64_t first, int64_t rows, ConstElements chunk) {
    context.multiply({.a = chunk,
                      .a_row_stride = patches.elements(),
                      .a_column_stride = 1,
                      .b = a.weight,
                      .b_row_stride = 1,
                      .b_column_stride = patches.elements(),
                      .packed_b = nullptr,
                      .c = a.y + first * a.columns,
                      .c_row_stride = a.columns,
                      .bias = nullptr,
                      .addend = nullptr,
                      .addend_row_stride = 0,
                      .m = rows,
                      .n = a.columns,
                      .k = patches.elements(),
                      .alpha = 1.0f,
                      .accumulate = true,
                      .precision = a.precision});
  });
}

void patch_embed_backward(CudaContext& context, const PatchEmbedBackwardArgs& a) {
  if (a.images == 0) return;
  Patches patches{context, a.pixels, a.images, a.channels, a.size, a.patch_size, operand_type(a.precision)};
  patches.for_chunks([&](int64_t first, int64_t rows, ConstElements chunk) {
    context.multiply({.a = a.dy + first * a.columns,
                      .a_row_stride = 1,
                      .a_column_stride = a.columns,
                      .b = chunk,
                      .b_row_stride = patches.elements(),
                      .b_column_stride = 1,
                      .packed_b = nullptr,
                      .c = a.dweight,
                      .c_row_stride = patches.elements(),
                      .bias = nullptr,
                      .addend = nullptr,
                      .addend_row_stride = 0,
                      .m = a.columns,
                      .n = patches.elements(),
                      .k = rows,
                      .alpha = 1.0f,
                      .accumulate = true,
                      .precision = a.precision});
  });
  const int64_t per_image = patches.per_image();
  sum_rows(context, {.x = a.dy, .sums = a.dbias, .rows = a.images * per_image, .columns = a.columns});
  // Over (image, patch * columns), the gradient of the positions is the sum of the rows as well.
  sum_rows(context, {.x = a.dy, .sums = a.dposition, .rows = a.images, .columns = per_image * a.columns});
}

}  // namespace sightline::cuda
