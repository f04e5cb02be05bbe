#include "ops/patch_embed.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

/** Patches are written out for at most this many floats at a time, or for one image. */
constexpr int64_t chunk_elements = 1 << 20;

struct PatchShape {
  template <class Args>
  explicit PatchShape(const Args& a) : channels(a.channels), size(a.size), patch_size(a.patch_size), per_image(a.rows_per_image()) {}
  int64_t channels, size, patch_size;
  /** Rows of an image: its patches, behind one for the class token where there is one. */
  int64_t per_image;

  int64_t per_side() const { return size / patch_size; }
  int64_t class_rows() const { return per_image - per_side() * per_side(); }
  int64_t elements() const { return channels * patch_size * patch_size; }
  /** A function of the image alone, so that sums by chunk are the same whatever the number of images. */
  int64_t images_per_chunk() const { return max(int64_t{1}, chunk_elements / (per_image * elements())); }
};

/** patches (images * per_image, elements) of the images, elements in (channel, row, column) order; zeros for a class token. */
void write_patches(CpuContext& context, const PatchShape& shape, const float* pixels, int64_t images,
                   float* patches) {
  for_row_blocks(context, images * shape.per_image, shape.elements(), [&](RowBlock block) {
    const int64_t size = shape.size, patch_size = shape.patch_size, per_side = shape.per_side();
    for (int64_t row = block.first; row < block.last; ++row) {
      const int64_t image = row / shape.per_image, patch = row % shape.per_image - shape.class_rows();
      float* to = patches + row * shape.elements();
      if (patch < 0) {
        for_vectors(shape.elements(), [&](int64_t i, auto n) { store(to + i, zero(), n); });
        continue;
      }
      const int64_t top = patch / per_side * patch_size, left = patch % per_side * patch_size;
      const float* corner = pixels + image * shape.channels * size * size + top * size + left;
      for (int64_t channel = 0; channel < shape.channels; ++channel)
        for (int64_t y = 0; y < patch_size; ++y, to += patch_size) {
          const float* from = corner + (channel * size + y) * size;
          for_vectors(patch_size, [&](int64_t i, auto n) { store(to + i, load(from + i, n), n); });
        }
    }
  });
}

}  // namespace

void patch_embed(CpuContext& context, const PatchEmbedArgs& a) {
  const PatchShape shape(a);
  const int64_t per_image = shape.per_image, elements = shape.elements();
  const int64_t chunk = min(a.images, shape.images_per_chunk());
  float* patches = context.op_scratch(chunk * per_image * elements);
  for (int64_t first = 0; first < a.images; first += chunk) {
    const int64_t rows = min(chunk, a.images - first) * per_image;
    write_patches(context, shape, a.pixels + first * a.channels * a.size * a.size, rows / per_image, patches);
    float* y = a.y + first * per_image * a.columns;
    // The position repeats from image to image: written to y first, it is the addend of one product over all. What then goes to
    // some rows only, the class token or the bias beside one, is added to it here.
    for_row_blocks(context, rows, a.columns, [&](RowBlock block) {
      for (int64_t row = block.first; row < block.last; ++row) {
        const float* position = a.position + row % per_image * a.columns;
        const float* extra = !a.class_token ? nullptr : row % per_image == 0 ? a.class_token : a.bias;
        float* to = y + row * a.columns;
        for_vectors(a.columns, [&](int64_t i, auto n) {
          const Vec p = load(position + i, n);
          store(to + i, extra ? load(extra + i, n) + p : p, n);
        });
      }
    });
    matmul(context, {.a = patches,
                     .a_row_stride = elements,
                     .a_column_stride = 1,
                     .b = a.weight,
                     .b_row_stride = 1,
                     .b_column_stride = elements,
                     .packed_b = nullptr,
                     .c = y,
                     .c_row_stride = a.columns,
                     .bias = a.class_token ? nullptr : a.bias,
                     .addend = y,
                     .addend_row_stride = a.columns,
                     .m = rows,
                     .n = a.columns,
                     .k = elements,
                     .alpha = 1.0f,
                     .accumulate = false,
                     .precision = a.precision});
  }
}

void patch_embed_backward(CpuContext& context, const PatchEmbedBackwardArgs& a) {
  const PatchShape shape(a);
  const int64_t per_image = shape.per_image, elements = shape.elements();
  const int64_t chunk = min(a.images, shape.images_per_chunk());
  float* patches = context.op_scratch(chunk * per_image * elements);
  for (int64_t first = 0; first < a.images; first += chunk) {
    const int64_t rows = min(chunk, a.images - first) * per_image;
    write_patches(context, shape, a.pixels + first * a.channels * a.size * a.size, rows / per_image, patches);
    matmul(context, {.a = a.dy + first * per_image * a.columns,
                     .a_row_stride = 1,
                     .a_column_stride = a.columns,
                     .b = patches,
                     .b_row_stride = elements,
                     .b_column_stride = 1,
                     .packed_b = nullptr,
                     .c = a.dweight,
                     .c_row_stride = elements,
                     .bias = nullptr,
                     .addend = nullptr,
                     .addend_row_stride = 0,
                     .m = a.columns,
                     .n = elements,
                     .k = rows,
                     .alpha = 1.0f,
                     .accumulate = true,
                     .precision = a.precision});
  }
  sum_patch_embed_gradients([&](const SumRowsArgs& sums) { sum_rows(context, sums); }, a);
}

}  // namespace sightline::SIGHTLINE_ISA
