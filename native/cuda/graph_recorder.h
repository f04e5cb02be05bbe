#pragma once

#include <map>

#include "cuda/cuda_context.h"
#include "ops/step_recorder.h"

namespace sightline::cuda {

/**
 * Records a step as a CUDA graph, which one call launches. The first step of a size runs as it is: it makes whatever is made only
 * once (cuBLASLt's plans, a kernel's limits, the memory). The second is recorded, and launched from then on. While a profile is
 * being taken steps run as they are, since a graph does not tell its ops apart. Where a step cannot be recorded that is
 * said once, on stderr, and all steps run as they are.
 */
class GraphRecorder final : public PooledStepRecorder {
 public:
  /** @param context, arena  must outlive this */
  GraphRecorder(CudaContext& context, Arena& arena) : PooledStepRecorder(arena), context_(context) {}
  ~GraphRecorder() override;

  /** @throws Error of the step, or where a graph cannot be launched */
  void run(const StepSize& size, const std::function<void()>& step) override;

 private:
  void forget() override;
  /** @return null where that failed, which has been said then */
  cudaGraphExec_t record(const std::function<void()>& step);

  CudaContext& context_;
  /** Null: the step has run once. */
  std::map<StepSize, cudaGraphExec_t> graphs_;
  bool unsupported_ = false;
};

}  // namespace sightline::cuda
