// Stream capture: calls on a recorded stream become nodes of a graph instead of work.
#include <algorithm>

#include "emulator/runtime/device.h"

namespace sightline::emulator {
namespace {

void add(std::vector<size_t>& nodes, const std::vector<size_t>& more) {
  for (const size_t node : more)
    if (std::ranges::find(nodes, node) == nodes.end()) nodes.push_back(node);
}

/** Whether every node is one of `ends` or comes before one. */
bool all_lead_to(const Graph& graph, const std::vector<size_t>& ends) {
  std::vector<bool> reached(graph.nodes.size(), false);
  for (const size_t end : ends) reached[end] = true;
  for (size_t node = graph.nodes.size(); node-- > 0;) {
    if (!reached[node]) return false;
    for (const size_t before : graph.nodes[node].dependencies) reached[before] = true;
  }
  return true;
}

}  // namespace

std::vector<Capture*> Device::captures() const {
  std::vector<Capture*> active;
  for (const auto& stream : streams_) {
    // Streams that ignore the default stream do not tie it to their recording.
    if (stream->capture && stream->blocking && std::ranges::find(active, stream->capture.get()) == active.end())
      active.push_back(stream->capture.get());
  }
  return active;
}

void Device::begin_capture(Stream& stream, CaptureMode mode) {
  if (settings_.graphs == 0) refuse(CudaError::not_supported, "cudaStreamBeginCapture: the emulator was told to refuse it");
  if (&stream == default_stream_)
    refuse(CudaError::capture_unsupported, "cudaStreamBeginCapture: the default stream cannot be recorded");
  if (stream.capture) refuse(CudaError::invalid_value, "cudaStreamBeginCapture: the stream is being recorded already");
  stream.capture = std::make_shared<Capture>();
  stream.capture->origin = &stream;
  stream.capture->mode = mode;
  stream.capture->thread = std::this_thread::get_id();
  stream.frontier.clear();
}

Graph Device::end_capture(Stream& stream) {
  const std::shared_ptr<Capture> capture = stream.capture;
  if (!capture) refuse(CudaError::invalid_value, "cudaStreamEndCapture: the stream is not being recorded");
  if (capture->origin != &stream)
    refuse(CudaError::capture_unmatched, "cudaStreamEndCapture: expected the stream that the recording began in");
  if (capture->mode != CaptureMode::relaxed && capture->thread != std::this_thread::get_id()) {
    refuse(CudaError::capture_wrong_thread, "cudaStreamEndCapture: expected the thread that began the recording");
  }
  const std::vector<size_t> ends = stream.frontier;
  for (const auto& other : streams_) {
    if (other->capture == capture) other->capture.reset();
  }
  for (const auto& event : events_) {
    if (event->capture == capture) event->capture.reset();
  }
  if (capture->invalid)
    refuse(CudaError::capture_invalidated, "cudaStreamEndCapture: a call that cannot be recorded came in between");
  if (!all_lead_to(capture->graph, ends)) {
    refuse(CudaError::capture_unjoined,
           "cudaStreamEndCapture: a stream that was forked from this one has work that it does not wait for");
  }
  return std::move(capture->graph);
}

void Device::add_node(Stream& stream, Operation operation) {
  Capture& capture = *stream.capture;
  if (capture.invalid) refuse(CudaError::capture_invalidated, operation.name, ": the recording was spoilt by an earlier call");
  if (operation.ready) {
    capture.invalid = true;
    refuse(CudaError::not_supported, operation.name, ": the emulator does not record collectives");
  }
  capture.graph.nodes.push_back({std::make_shared<const Operation>(std::move(operation)), stream.frontier});
  stream.frontier = {capture.graph.nodes.size() - 1};
}

void Device::forbid_while_capturing(const char* call) {
  for (const auto& stream : streams_) {
    if (!stream->capture) continue;
    const Capture& capture = *stream->capture;
    const bool concerns = capture.mode == CaptureMode::global ||
                          (capture.mode == CaptureMode::thread_local_only && capture.thread == std::this_thread::get_id());
    if (!concerns) continue;
    stream->capture->invalid = true;
    refuse(CudaError::capture_unsupported, call, ": not allowed while stream ", stream->number, " is being recorded");
  }
}

void Device::forbid_for_captured(Stream& stream, const char* call) {
  if (!stream.capture) return;
  stream.capture->invalid = true;
  refuse(CudaError::capture_unsupported, call, ": the stream is being recorded, nothing of it runs yet");
}

void Device::record(Event& event, Stream& stream) {
  if (stream.capture) {
    event.token.reset();
    event.capture = stream.capture;
    event.nodes = stream.frontier;
    return;
  }
  event.capture.reset();
  event.token = submit(stream, {.name = "cudaEventRecord", .run = {}, .ready = {}, .uses = {}});
}

void Device::wait_event(Stream& stream, Event& event) {
  if (event.capture) {
    if (&stream == default_stream_) {
      event.capture->invalid = true;
      refuse(CudaError::capture_implicit, "cudaStreamWaitEvent: the default stream cannot join a recording");
    }
    if (stream.capture && stream.capture != event.capture) {
      refuse(CudaError::capture_merge, "cudaStreamWaitEvent: stream and event belong to different recordings");
    }
    if (!stream.capture) {
      stream.capture = event.capture;
      stream.frontier.clear();
    }
    add(stream.frontier, event.nodes);
    return;
  }
  if (!event.token) return;
  if (stream.capture) {
    stream.capture->invalid = true;
    refuse(CudaError::capture_isolation, "cudaStreamWaitEvent: the event is outside of the recording");
  }
  submit(stream, {.name = "cudaStreamWaitEvent", .run = {}, .ready = {}, .uses = {}}, {event.token});
}

}  // namespace sightline::emulator
