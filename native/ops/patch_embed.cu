#include "ops/patch_embed.h"

#include <algorithm>

#include "cuda/cuda_context.h"
#include "cuda/cuda_ops.h"
#include "cuda/elements.cuh"
#include "ops/cuda_scratch.h"
#include "ops/op_products.h"

// Patches are written out as a matrix, in the type that the product multiplies, for a chunk of images at a time; the product is
// cuBLASLt's. Registers on sm_80: at most 58.

namespace sightline::cuda {
namespace {

constexpr int patch_threads = 256;
constexpr int sector_bytes = 32;
/**
 * Patches that a block takes side by side: whatever the patch, 8 of them are a multiple of 32 bytes wide, so that neither the lines
 * of an image nor the rows of the matrix are cut within a sector.
 */
constexpr int patch_group = 8;
/** Shared memory of a block, in floats, that no launch has to ask for. */
constexpr int patch_tile_floats = 12288;

/** Floats from a patch of the tile to the next: lines that a warp reads across patches then lie in 32 different banks. */
__host__ __device__ constexpr int patch_tile_stride(int length, int patch_size) { return length + ((patch_size - length) & 31); }

/** Lines of patches that the tile holds at once, of `channels * patch_size`. */
constexpr int patch_lines_at_once(int channels, int patch_size) {
  const int most = (patch_tile_floats / patch_group - 31) / patch_size;
  return most < channels * patch_size ? most : channels * patch_size;
}

/** Images and the patches that they are cut into, row by row, behind a row of zeros where there is a class token. */
struct PatchGrid {
  int channels, size, patch_size, class_rows;
  /** How many lines of its patches a block holds at a time. */
  int lines_at_once;

  __host__ __device__ int per_side() const { return size / patch_size; }
  __host__ __device__ int groups() const { return (per_side() + patch_group - 1) / patch_group; }
};

/**
 * patches[patch][(channel, row, column)], where patches run row by row through one image after the other.
 *
 * Grid: (groups of 8 patches, rows of patches, images). What a group has of a line of the image is one run; so is what it has of
 * the matrix, if the group's lines are all there. In between pixels lie in shared memory (at most 48 KiB), as many lines as it
 * holds at a time: a warp puts a line there, then the block takes out patch by patch.
 */
template <class T>
__global__ void __launch_bounds__(patch_threads) patch_embed_patches_kernel(const float* pixels, T* patches, PatchGrid grid) {
  extern __shared__ float tile[];
  const int size = grid.size, patch_size = grid.patch_size, per_side = grid.per_side();
  const int first = static_cast<int>(blockIdx.x) * patch_group, count = min(patch_group, per_side - first);
  const int lines = grid.channels * patch_size, elements = lines * patch_size;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const float* corner = pixels + (static_cast<int64_t>(blockIdx.z) * grid.channels * size + blockIdx.y * patch_size) * size + first * patch_size;
  const int64_t first_row = static_cast<int64_t>(blockIdx.z) * (per_side * per_side + grid.class_rows);
  T* to = patches + (first_row + grid.class_rows + blockIdx.y * per_side + first) * elements;
  if (grid.class_rows > 0 && blockIdx.x == 0 && blockIdx.y == 0) {
    const float zero[1] = {0.0f};
    for (int i = static_cast<int>(threadIdx.x); i < elements; i += patch_threads) store(patches + first_row * elements + i, zero);
  }
  for (int begin = 0; begin < lines; begin += grid.lines_at_once) {
    const int here = min(grid.lines_at_once, lines - begin), length = here * patch_size;
    const int stride = patch_tile_stride(length, patch_size);
    for (int line = warp; line < here; line += patch_threads / 32) {
      const int channel = (begin + line) / patch_size, y = (begin + line) % patch_size;
      const float* from = corner + (static_cast<int64_t>(channel) * size + y) * size;
      for (int x = lane; x < count * patch_size; x += 32)
        tile[x / patch_size * stride + line * patch_size + x % patch_size] = from[x];
    }
    __syncthreads();
    // Warps begin to write where a sector begins, which the row of a class token would shift them away from.
    const auto skew = static_cast<int>(reinterpret_cast<uintptr_t>(to + begin * patch_size) % sector_bytes / sizeof(T));
    for (int i = static_cast<int>(threadIdx.x) - skew; i < count * length; i += patch_threads) {
      if (i < 0) continue;
      const int patch = i / length, at = i % length;
      const float value[1] = {tile[patch * stride + at]};
      store(to + static_cast<int64_t>(patch) * elements + begin * patch_size + at, value);
    }
    __syncthreads();
  }
}

}  // namespace

/** y[row] = position[row % per_image] + bias, to which the product is added; for row 0 of an image + class_token. One block per row. */
template <int width>
__global__ void __launch_bounds__(256) patch_embed_positions_kernel(const float* position, const float* bias, const float* class_token,
                                                                    float* y, int per_image, int64_t columns) {
  const float* from = position + blockIdx.x % per_image * columns;
  const float* extra = class_token != nullptr && blockIdx.x % per_image == 0 ? class_token : bias;
  float* to = y + blockIdx.x * columns;
  for (int64_t i = threadIdx.x * width; i < columns; i += blockDim.x * width) {
    float v[width], b[width] = {};
    load(from + i, v);
    if (extra != nullptr) load(extra + i, b);
#pragma unroll
    for (int j = 0; j < width; ++j) v[j] += b[j];
    store(to + i, v);
  }
}

namespace {

/** The patches of a chunk of images, as the left operand of the forward product. */
struct Patches {
  CudaContext& context;
  const float* pixels;
  int64_t images, channels, size, patch_size;
  /** Rows of an image, see PatchEmbedArgs. */
  int64_t per_image;
  DType type;
  void* data = nullptr;

  int64_t elements() const { return channels * patch_size * patch_size; }
  /** Calls body(first row of patches, rows, the patches) for each chunk. */
  template <class Body>
  void for_chunks(const Body& body) {
    const int64_t chunk = std::min(images, patch_images_at_once(per_image * elements()));
    data = context.scratch(static_cast<size_t>(chunk * per_image * elements() * size_of(type)));
    for (int64_t first = 0; first < images; first += chunk) {
      const int64_t rows = std::min(chunk, images - first) * per_image;
      const float* from = pixels + first * channels * size * size;
      with_type(type, [&]<class T>(Type<T>) {
        const PatchGrid grid{static_cast<int>(channels), static_cast<int>(size), static_cast<int>(patch_size),
                             static_cast<int>(per_image - (size / patch_size) * (size / patch_size)),
                             patch_lines_at_once(static_cast<int>(channels), static_cast<int>(patch_size))};
        require(grid.lines_at_once > 0, "patch_size: expected at most ", patch_tile_floats / patch_group - 31, ", received ", patch_size);
        const int stride = patch_tile_stride(grid.lines_at_once * grid.patch_size, grid.patch_size);
        context.launch(patch_embed_patches_kernel<T>,
                       dim3(static_cast<unsigned>(grid.groups()), static_cast<unsigned>(grid.per_side()),
                            static_cast<unsigned>(rows / per_image)),
                       dim3(patch_threads), static_cast<size_t>(patch_group * stride) * sizeof(float), from, static_cast<T*>(data), grid);
      });
      body(first * per_image, rows, ConstElements(data, type));
    }
  }
};

DType operand_type(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

}  // namespace

void patch_embed(CudaContext& context, const PatchEmbedArgs& a) {
  if (a.images == 0) return;
  Patches patches{context, a.pixels, a.images, a.channels, a.size, a.patch_size, a.rows_per_image(), operand_type(a.precision)};
  with_width(
      [&](auto width) {
        context.launch(patch_embed_positions_kernel<width()>, dim3(static_cast<unsigned>(a.images * patches.per_image)),
                       dim3(row_threads(a.columns / width())), 0, a.position, a.bias, a.class_token, a.y, static_cast<int>(patches.per_image),
                       a.columns);
      },
      a.columns, a.position, a.bias, a.class_token, a.y);
  patches.for_chunks([&](int64_t first, int64_t rows, ConstElements chunk) {
    context.multiply(patches_product(a, first, rows, chunk));
  });
}

void patch_embed_backward(CudaContext& context, const PatchEmbedBackwardArgs& a) {
  if (a.images == 0) return;
  Patches patches{context, a.pixels, a.images, a.channels, a.size, a.patch_size, a.rows_per_image(), operand_type(a.precision)};
  patches.for_chunks([&](int64_t first, int64_t rows, ConstElements chunk) {
    context.multiply(dweight_product(a, first, rows, chunk));
  });
  sum_patch_embed_gradients([&](const SumRowsArgs& sums) { sum_rows(context, sums); }, a);
}

}  // namespace sightline::cuda
