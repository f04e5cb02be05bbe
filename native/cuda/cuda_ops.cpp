#include "cuda/cuda_ops.h"

namespace sightline::cuda {
namespace {

/** An entry that knows which context its op takes, and that the op's scratch memory ends with it. */
template <auto op, class Args>
void on_cuda(ExecutionContext& execution, const Args& args) {
  auto& context = static_cast<CudaContext&>(execution);
  context.enter();
  struct Scratch {
    CudaContext& context;
    ~Scratch() { context.release_scratch(); }
  } const scratch{context};
  context.expect_scratch(scratch_of(args));
  op(context, args);
  context.expect_scratch_taken();
  // A profile wants to know what the op takes, not what asking for it does.
  if (context.profiler() != nullptr) context.wait();
}

}  // namespace

const OpTable& cuda_ops() {
#define SIGHTLINE_CUDA(name, Args) &on_cuda<&cuda::name, Args>,
  static constexpr OpTable ops{SIGHTLINE_OPS(SIGHTLINE_CUDA)};
#undef SIGHTLINE_CUDA
  return ops;
}

}  // namespace sightline::cuda
