#include "ops/op_table.h"

namespace sightline {
namespace {

#define SIGHTLINE_PORTABLE(name, Args) &portable::name,
constexpr OpTable portable_ops{SIGHTLINE_OPS(SIGHTLINE_PORTABLE)};
#if defined(__x86_64__)
#define SIGHTLINE_AVX2(name, Args) &avx2::name,
constexpr OpTable avx2_ops{SIGHTLINE_OPS(SIGHTLINE_AVX2)};
#define SIGHTLINE_AVX512(name, Args) &avx512::name,
constexpr OpTable avx512_ops{SIGHTLINE_OPS(SIGHTLINE_AVX512)};
#define SIGHTLINE_AVX512_BF16(name, Args) &avx512_bf16::name,
constexpr OpTable avx512_bf16_ops{SIGHTLINE_OPS(SIGHTLINE_AVX512_BF16)};
#endif

}  // namespace

const OpTable& cpu_ops(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx2) return avx2_ops;
  if (isa == Isa::avx512) return avx512_ops;
  if (isa == Isa::avx512_bf16) return avx512_bf16_ops;
#endif
  return portable_ops;
}

}  // namespace sightline
