#include "core/isa.h"

#include <cstdlib>

#include "core/error.h"

namespace sightline {

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::portable: return "portable";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::avx512_bf16: return "avx512_bf16";
  }
  return "portable";
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas{Isa::portable};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) isas.push_back(Isa::avx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")) {
    isas.push_back(Isa::avx512);
    if (__builtin_cpu_supports("avx512bf16")) isas.push_back(Isa::avx512_bf16);
  }
#endif
  return isas;
}

Isa select_isa(const std::string& requested) {
  std::string name = requested;
  const char* source = "cpu";
  if (name.empty()) {
    source = "SIGHTLINE_CPU";
    const char* variable = std::getenv(source);
    if (variable) name = variable;
  }
  const std::vector<Isa> available = available_isas();
  if (name.empty()) return available.back();
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    if (name != isa_name(isa)) continue;
    for (Isa candidate : available)
      if (candidate == isa) return isa;
    fail(ErrorCode::unsupported, source, ": this CPU does not run the path \"", name, "\"; the strongest here is \"",
         isa_name(available.back()), "\"");
  }
  fail(ErrorCode::invalid_argument, source, ": expected \"portable\", \"avx2\", \"avx512\" or \"avx512_bf16\", received \"", name, "\"");
}

}  // namespace sightline
