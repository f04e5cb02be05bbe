// Stream capture and graphs of the CUDA runtime.
#include "emulator/runtime/api.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;

namespace {

/** Whether a graph may take another's place in its executable: the same work in the same order, arguments apart. */
bool same_shape(const Graph& a, const Graph& b) {
  if (a.nodes.size() != b.nodes.size()) return false;
  for (size_t node = 0; node < a.nodes.size(); ++node) {
    const Operation &first = *a.nodes[node].operation, &second = *b.nodes[node].operation;
    if (first.name != second.name || first.function != second.function) return false;
    if (a.nodes[node].dependencies != b.nodes[node].dependencies) return false;
  }
  return true;
}

}  // namespace

namespace sightline::emulator {

SIGHTLINE_EMULATOR_API CudaError cudaStreamBeginCapture(Stream* stream, CaptureMode mode) {
  return on_device([&](Device& device) { device.begin_capture(device.stream(stream), mode); });
}

SIGHTLINE_EMULATOR_API CudaError cudaStreamEndCapture(Stream* stream, Graph** graph) {
  return on_device([&](Device& device) {
    if (graph == nullptr) refuse(CudaError::invalid_value, "cudaStreamEndCapture: graph is null");
    *graph = nullptr;
    *graph = &device.keep(device.end_capture(device.stream(stream)));
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaStreamIsCapturing(Stream* stream, int* status) {
  return on_device([&](Device& device) {
    const auto& capture = device.stream(stream).capture;
    *status = !capture ? 0 : capture->invalid ? 2 : 1;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaGraphGetNodes(Graph* graph, void** nodes, size_t* count) {
  return on_device([&](Device& device) {
    const Graph& found = device.graph(graph);
    if (nodes != nullptr) refuse(CudaError::not_supported, "cudaGraphGetNodes: the emulator tells the number of nodes only");
    *count = found.nodes.size();
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaGraphInstantiate(GraphExecutable** executable, Graph* graph, unsigned long long) {
  return on_device([&](Device& device) {
    if (executable == nullptr) refuse(CudaError::invalid_value, "cudaGraphInstantiate: executable is null");
    *executable = &device.keep(GraphExecutable{device.graph(graph), nullptr});
    ++device.calls().graphs;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaGraphExecUpdate(GraphExecutable* executable, Graph* graph, GraphUpdateInfo* info) {
  return on_device([&](Device& device) {
    GraphExecutable& updated = device.executable(executable);
    const Graph& source = device.graph(graph);
    const bool fits = same_shape(updated.graph, source);
    // cudaGraphExecUpdateSuccess, cudaGraphExecUpdateErrorTopologyChanged
    if (info != nullptr) *info = {.result = fits ? 0 : 2, .error_node = nullptr, .error_from_node = nullptr};
    if (!fits) refuse(CudaError::graph_update_failure, "cudaGraphExecUpdate: the graph's operations or their order differ");
    updated.graph = source;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaGraphLaunch(GraphExecutable* executable, Stream* stream) {
  return on_device([&](Device& device) {
    Stream& into = device.stream(stream);
    if (into.capture) {
      into.capture->invalid = true;
      refuse(CudaError::not_supported, "cudaGraphLaunch: the emulator does not record launches of graphs");
    }
    device.launch(device.executable(executable), into);
    ++device.calls().graph_launches;
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaGraphDestroy(Graph* graph) {
  return on_device([&](Device& device) { device.destroy(device.graph(graph)); });
}

SIGHTLINE_EMULATOR_API CudaError cudaGraphExecDestroy(GraphExecutable* executable) {
  return on_device([&](Device& device) { device.destroy(device.executable(executable)); });
}

}  // namespace sightline::emulator
