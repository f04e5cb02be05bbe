#include "ops/dropout.h"

#include "ops/op_table.h"
#include "ops/row_blocks.h"
#include "ops/simd.h"

namespace sightline::SIGHTLINE_ISA {
namespace {

typedef uint32_t Words __attribute__((vector_size(lanes * 4)));
typedef uint64_t WidePairs __attribute__((vector_size(lanes * 4)));

/** The 64-bit products of the lower words of each pair. */
WidePairs lower_products(WidePairs a, WidePairs b) {
#if defined(SIGHTLINE_AVX512)
  // Not _mm512_mul_epu32, whose header makes GCC warn of an uninitialised value.
  return (WidePairs)_mm512_maskz_mul_epu32(static_cast<__mmask8>(0xff), (__m512i)a, (__m512i)b);
#elif defined(SIGHTLINE_AVX2)
  return (WidePairs)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
  return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

struct Products {
  Words high, low;
};

/** The upper and lower words of a * b, lane by lane. */
Products multiply(Words a, uint32_t b) {
  const WidePairs factor = (WidePairs)(b + Words{});
  const WidePairs even = lower_products((WidePairs)a, factor), odd = lower_products((WidePairs)a >> 32, factor);
  constexpr uint64_t low = 0xffffffff, high = low << 32;
  return {(Words)(even >> 32 | (odd & high)), (Words)((even & low) | odd << 32)};
}

/** `philox` of core/philox.h, one counter per lane. */
struct Philox {
  Words word[4];

  void encrypt(uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
      const Products first = multiply(word[0], 0xD2511F53), second = multiply(word[2], 0xCD9E8D57);
      word[0] = second.high ^ word[1] ^ key0;
      word[1] = second.low;
      word[2] = first.high ^ word[3] ^ key1;
      word[3] = first.low;
      key0 += 0x9E3779B9;
      key1 += 0xBB67AE85;
    }
  }
};

/** 0, 1, 2, ... */
Words lane_numbers() {
  Words numbers;
  for (uint32_t i = 0; i < lanes; ++i) numbers[i] = i;
  return numbers;
}

template <bool accumulate, class T>
void drop_row(const DropoutArgs& a, int64_t row, const T* x, T* y) {
  const Words threshold = a.threshold() + Words{};
  const Vec scale = broadcast(a.scale());
  for (int64_t first = 0; first < a.columns; first += lanes) {
    // The vectors at `first` within its stretch of 16 columns, and those 16, 32 and 48 columns further on, have the same counters.
    if (first % DropoutArgs::run >= DropoutArgs::stride) continue;
    const uint32_t counter = static_cast<uint32_t>(first / DropoutArgs::run * DropoutArgs::stride + first % DropoutArgs::run);
    Philox random{{lane_numbers() + counter, static_cast<uint32_t>(a.module) + Words{},
                   static_cast<uint32_t>(a.positions[row]) + Words{}, DropoutArgs::purpose + Words{}}};
    random.encrypt(a.keys[2 * row], a.keys[2 * row + 1]);
    for (int i = 0; i < 4; ++i) {
      const int64_t c = first + i * DropoutArgs::stride;
      const auto drop = [&](auto n) {
        const Vec kept = random.word[i] >= threshold ? load(x + c, n) * scale : zero();
        store(y + c, accumulate ? load(y + c, n) + kept : kept, n);
      };
      if (c + lanes <= a.columns)
        drop(Whole{});
      else if (c < a.columns)
        drop(Part{a.columns - c});
    }
  }
}

}  // namespace

void dropout(CpuContext& context, const DropoutArgs& a) {
  require_one_type("dropout", "x and y", {a.x.type, a.y.type});
  with_type(a.x.type, [&]<class T>(T) {
    for_row_blocks(context, a.rows, a.columns, [&](RowBlock block) {
      for (int64_t row = block.first; row < block.last; ++row) {
        const T* x = a.x.as<T>() + row * a.columns;
        T* y = a.y.as<T>() + row * a.columns;
        a.accumulate ? drop_row<true>(a, row, x, y) : drop_row<false>(a, row, x, y);
      }
    });
  });
}

}  // namespace sightline::SIGHTLINE_ISA
