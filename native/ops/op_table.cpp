#include "ops/op_table.h"

namespace sightline {
namespace {

/** An entry that knows which context its op takes. */
template <auto op, class Args>
void on_cpu(ExecutionContext& context, const Args& args) {
  op(static_cast<CpuContext&>(context), args);
}

#define SIGHTLINE_PORTABLE(name, Args) &on_cpu<&portable::name, Args>,
constexpr OpTable portable_ops{SIGHTLINE_OPS(SIGHTLINE_PORTABLE)};
#if defined(__x86_64__)
#define SIGHTLINE_AVX2(name, Args) &on_cpu<&avx2::name, Args>,
constexpr OpTable avx2_ops{SIGHTLINE_OPS(SIGHTLINE_AVX2)};
#define SIGHTLINE_AVX512(name, Args) &on_cpu<&avx512::name, Args>,
constexpr OpTable avx512_ops{SIGHTLINE_OPS(SIGHTLINE_AVX512)};
#define SIGHTLINE_AVX512_BF16(name, Args) &on_cpu<&avx512_bf16::name, Args>,
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
