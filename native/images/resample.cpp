#include "images/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "images/resample_rows.h"

namespace sightline {
namespace {

double sinc(double t) {
  if (t == 0.0) return 1.0;
  t *= std::numbers::pi;
  return std::sin(t) / t;
}

/** Distance beyond which the kernel is 0. */
double support(ResampleFilter filter) {
  switch (filter) {
    case ResampleFilter::box: return 0.5;
    case ResampleFilter::bilinear: return 1.0;
    case ResampleFilter::bicubic: return 2.0;
    case ResampleFilter::lanczos: return 3.0;
  }
  return 0.0;
}

double kernel(ResampleFilter filter, double t) {
  switch (filter) {
    case ResampleFilter::box: return t > -0.5 && t <= 0.5 ? 1.0 : 0.0;
    case ResampleFilter::bilinear: return std::max(1.0 - std::abs(t), 0.0);
    case ResampleFilter::bicubic: {
      constexpr double a = -0.5;
      t = std::abs(t);
      if (t < 1.0) return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
      if (t < 2.0) return (((t - 5.0) * t + 8.0) * t - 4.0) * a;
      return 0.0;
    }
    case ResampleFilter::lanczos: return t >= -3.0 && t < 3.0 ? sinc(t) * sinc(t / 3.0) : 0.0;
  }
  return 0.0;
}

/** The windows of one axis with the memory that their weights are in. */
struct Windows {
  std::vector<ResampleWindow> windows;
  std::vector<int32_t> weights;
};

Windows resample_windows(int from, int to, ResampleFilter filter) {
  const double scale = static_cast<double>(from) / to;
  const double filter_scale = std::max(scale, 1.0);
  const double reach = support(filter) * filter_scale;
  const double inverse_filter_scale = 1.0 / filter_scale;
  const size_t most = static_cast<size_t>(std::ceil(reach)) * 2 + 1;
  Windows axis{std::vector<ResampleWindow>(to), std::vector<int32_t>(most * to)};
  std::vector<double> exact(most);
  for (int i = 0; i < to; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - reach + 0.5), 0);
    const int count = std::min(static_cast<int>(center + reach + 0.5), from) - first;
    double sum = 0.0;
    for (int j = 0; j < count; ++j) {
      exact[j] = kernel(filter, (j + first - center + 0.5) * inverse_filter_scale);
      sum += exact[j];
    }
    int32_t* weights = axis.weights.data() + most * i;
    for (int j = 0; j < count; ++j) {
      const double weight = exact[j] / sum * (1 << resample_weight_bits);
      weights[j] = static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    axis.windows[i] = {first, count, weights};
  }
  return axis;
}

using ResampleRows = decltype(&portable::resample_rows);

ResampleRows resample_rows_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx2) return &avx2::resample_rows;
  if (isa == Isa::avx512 || isa == Isa::avx512_bf16) return &avx512::resample_rows;
#else
  (void)isa;
#endif
  return &portable::resample_rows;
}

/** (rows, columns, channels) -> (columns, rows, channels). */
template <int channels>
void transpose(const uint8_t* source, int rows, int columns, uint8_t* result) {
  // Square blocks, so that both sides stay in the first-level cache.
  constexpr int block = 32;
  for (int row_block = 0; row_block < rows; row_block += block) {
    const int row_end = std::min(row_block + block, rows);
    for (int column_block = 0; column_block < columns; column_block += block) {
      const int column_end = std::min(column_block + block, columns);
      for (int column = column_block; column < column_end; ++column) {
        const uint8_t* from = source + (static_cast<size_t>(row_block) * columns + column) * channels;
        uint8_t* to = result + (static_cast<size_t>(column) * rows + row_block) * channels;
        for (int row = row_block; row < row_end; ++row) {
          for (int channel = 0; channel < channels; ++channel) to[channel] = from[channel];
          from += static_cast<size_t>(columns) * channels;
          to += channels;
        }
      }
    }
  }
}

void transpose(const uint8_t* source, int rows, int columns, int channels, uint8_t* result) {
  if (channels == 1)
    transpose<1>(source, rows, columns, result);
  else
    transpose<3>(source, rows, columns, result);
}

}  // namespace

void resize_image(const uint8_t* source, ImageSize from, int channels, ImageSize to, ResampleFilter filter, Isa isa,
                  uint8_t* result) {
  const ResampleRows resample_rows = resample_rows_of(isa);
  const auto bytes = [channels](int width, int height) { return size_t{1} * width * height * channels; };
  const auto vertical = [&](const uint8_t* image, int width, uint8_t* resized) {
    const Windows axis = resample_windows(from.height, to.height, filter);
    resample_rows(image, bytes(width, 1), axis.windows.data(), to.height, resized);
  };
  // The horizontal pass is the vertical one of the transposed image: one kernel, whose bytes lie side by side. Done by strips
  // of rows, the transposed ones stay in the cache.
  const auto horizontal = [&](const uint8_t* image, int height, uint8_t* resized) {
    constexpr int most_rows = 64;
    const Windows axis = resample_windows(from.width, to.width, filter);
    std::vector<uint8_t> columns(bytes(from.width, most_rows));
    std::vector<uint8_t> resized_columns(bytes(to.width, most_rows));
    for (int row = 0; row < height; row += most_rows) {
      const int rows = std::min(most_rows, height - row);
      transpose(image + bytes(from.width, row), rows, from.width, channels, columns.data());
      resample_rows(columns.data(), bytes(1, rows), axis.windows.data(), to.width, resized_columns.data());
      transpose(resized_columns.data(), to.width, rows, channels, resized + bytes(to.width, row));
    }
  };

  const bool vertical_first = to.height < from.height && from.height - to.height > 2 * (from.width - to.width);
  if (from.width == to.width && from.height == to.height) {
    std::memcpy(result, source, bytes(to.width, to.height));
  } else if (from.width == to.width) {
    vertical(source, to.width, result);
  } else if (from.height == to.height) {
    horizontal(source, to.height, result);
  } else if (vertical_first) {
    std::vector<uint8_t> flattened(bytes(from.width, to.height));
    vertical(source, from.width, flattened.data());
    horizontal(flattened.data(), to.height, result);
  } else {
    std::vector<uint8_t> narrowed(bytes(to.width, from.height));
    horizontal(source, from.height, narrowed.data());
    vertical(narrowed.data(), to.width, result);
  }
}

}  // namespace sightline
