#include "cuda/graph_recorder.h"

#include <cstdio>

namespace sightline::cuda {
namespace {

/** The stream records from the object's making to `end`, or its own end. */
class Recording {
 public:
  explicit Recording(CudaContext& context) : context_(context) {
    // Other threads, with other engines, may do as they like meanwhile.
    check(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal), "recording a stream");
    context.set_recording(true);
  }
  ~Recording() {
    if (recording_) stop();
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /** Valid as long as the object. */
  cudaGraph_t end() {
    check(stop(), "recording a stream");
    return graph_;
  }

 private:
  cudaError_t stop() {
    recording_ = false;
    context_.set_recording(false);
    return cudaStreamEndCapture(context_.stream(), &graph_);
  }

  CudaContext& context_;
  cudaGraph_t graph_ = nullptr;
  bool recording_ = true;
};

}  // namespace

GraphRecorder::~GraphRecorder() { forget(); }

void GraphRecorder::forget() {
  // A step may still be under way.
  cudaSetDevice(context_.device());
  cudaStreamSynchronize(context_.stream());
  for (const auto& [size, graph] : graphs_)
    if (graph != nullptr) cudaGraphExecDestroy(graph);
  graphs_.clear();
}

void GraphRecorder::run(const StepSize& size, const std::function<void()>& step) {
  if (unsupported_ || context_.profiler() != nullptr) return PooledStepRecorder::run(size, step);
  const auto found = graphs_.find(size);
  if (found == graphs_.end()) {
    PooledStepRecorder::run(size, step);
    graphs_.emplace(size, nullptr);
    return;
  }
  cudaGraphExec_t& graph = found->second;
  if (graph == nullptr) graph = record(step);
  if (graph == nullptr) return PooledStepRecorder::run(size, step);
  context_.enter();
  check(cudaGraphLaunch(graph, context_.stream()), "launching a recorded step");
}

cudaGraphExec_t GraphRecorder::record(const std::function<void()>& step) {
  context_.enter();
  try {
    Recording recording(context_);
    const ArenaPool::Scope scope(pool());
    step();
    cudaGraphExec_t graph = nullptr;
    check(cudaGraphInstantiate(&graph, recording.end(), 0), "making a recorded step ready");
    return graph;
  } catch (const Error& error) {
    cudaGetLastError();  // a refused recording is no failure that later calls should meet
    unsupported_ = true;
    std::fprintf(stderr, "sightline: steps are launched op by op, since they cannot be recorded as a CUDA graph: %s\n", error.what());
    return nullptr;
  }
}

}  // namespace sightline::cuda
