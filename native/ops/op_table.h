#pragma once

#include "core/cpu_context.h"
#include "core/isa.h"
#include "ops/op_list.h"

namespace sightline {

/** One backend's ops. The engine calls through it and does not know which backend it runs on. */
struct OpTable {
#define SIGHTLINE_ENTRY(name, Args) void (*name)(ExecutionContext&, const Args&);
  SIGHTLINE_OPS(SIGHTLINE_ENTRY)
#undef SIGHTLINE_ENTRY
};

/** The CPU ops compiled for `isa`, which must be one of `available_isas()`. They run with a CpuContext. */
const OpTable& cpu_ops(Isa isa);

// The ops of each path live in a namespace of the path's name; SIGHTLINE_ISA names it while an op source is compiled.
#define SIGHTLINE_DECLARE(name, Args) void name(CpuContext& context, const Args& args);
namespace portable {
SIGHTLINE_OPS(SIGHTLINE_DECLARE)
}
namespace avx2 {
SIGHTLINE_OPS(SIGHTLINE_DECLARE)
}
namespace avx512 {
SIGHTLINE_OPS(SIGHTLINE_DECLARE)
}
namespace avx512_bf16 {
SIGHTLINE_OPS(SIGHTLINE_DECLARE)
}
#undef SIGHTLINE_DECLARE

}  // namespace sightline
