// Streams and events of the CUDA runtime.
#include "emulator/runtime/api.h"
#include "emulator/runtime/runtime.h"

using namespace sightline::emulator;

namespace sightline::emulator {

SIGHTLINE_EMULATOR_API CudaError cudaStreamCreateWithPriority(Stream** stream, unsigned flags, int) {
  return on_device([&](Device& device) {
    if (stream == nullptr || flags > stream_non_blocking) {
      refuse(CudaError::invalid_value, "cudaStreamCreate: expected flags 0 or cudaStreamNonBlocking, received ", flags);
    }
    *stream = &device.create_stream((flags & stream_non_blocking) == 0);
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaStreamCreateWithFlags(Stream** stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}

SIGHTLINE_EMULATOR_API CudaError cudaStreamCreate(Stream** stream) { return cudaStreamCreateWithPriority(stream, 0, 0); }

SIGHTLINE_EMULATOR_API CudaError cudaStreamDestroy(Stream* stream) {
  return on_device([&](Device& device) { device.destroy_stream(device.stream(stream)); });
}

SIGHTLINE_EMULATOR_API CudaError cudaStreamSynchronize(Stream* stream) {
  return on_device([&](Device& device) {
    Stream& waited = device.stream(stream);
    device.forbid_for_captured(waited, "cudaStreamSynchronize");
    ++device.calls().waits;
    device.wait(waited.last);
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaStreamQuery(Stream* stream) {
  return on_device([&](Device& device) {
    Stream& asked = device.stream(stream);
    device.forbid_for_captured(asked, "cudaStreamQuery");
    device.step();  // so that a loop of queries ends
    const bool done = !asked.last || asked.last->done;
    if (!done) refuse(CudaError::not_ready, "cudaStreamQuery: the stream has work left");
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaStreamWaitEvent(Stream* stream, Event* event, unsigned) {
  return on_device([&](Device& device) { device.wait_event(device.stream(stream), device.event(event)); });
}

SIGHTLINE_EMULATOR_API CudaError cudaEventCreateWithFlags(Event** event, unsigned flags) {
  return on_device([&](Device& device) {
    if (event == nullptr || (flags & ~(event_blocking_sync | event_disable_timing)) != 0) {
      refuse(CudaError::invalid_value,
             "cudaEventCreate: expected cudaEventBlockingSync and cudaEventDisableTiming at most, received ", flags);
    }
    *event = &device.create_event((flags & event_disable_timing) == 0);
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaEventCreate(Event** event) { return cudaEventCreateWithFlags(event, 0); }

SIGHTLINE_EMULATOR_API CudaError cudaEventDestroy(Event* event) {
  return on_device([&](Device& device) { device.destroy_event(device.event(event)); });
}

SIGHTLINE_EMULATOR_API CudaError cudaEventRecord(Event* event, Stream* stream) {
  return on_device([&](Device& device) { device.record(device.event(event), device.stream(stream)); });
}

SIGHTLINE_EMULATOR_API CudaError cudaEventSynchronize(Event* event) {
  return on_device([&](Device& device) {
    const Event& waited = device.event(event);
    if (waited.capture) refuse(CudaError::captured_event, "cudaEventSynchronize: the event was recorded in a capture");
    device.wait(waited.token);
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaEventQuery(Event* event) {
  return on_device([&](Device& device) {
    const Event& asked = device.event(event);
    if (asked.capture) refuse(CudaError::captured_event, "cudaEventQuery: the event was recorded in a capture");
    device.step();  // so that a loop of queries ends
    const bool done = !asked.token || asked.token->done;
    if (!done) refuse(CudaError::not_ready, "cudaEventQuery: the work before the event is not done");
  });
}

SIGHTLINE_EMULATOR_API CudaError cudaEventElapsedTime(float* milliseconds, Event* start, Event* end) {
  return on_device([&](Device& device) {
    const Event &first = device.event(start), &second = device.event(end);
    if (milliseconds == nullptr) refuse(CudaError::invalid_value, "cudaEventElapsedTime: milliseconds is null");
    if (!first.timing || !second.timing || !first.token || !second.token) {
      refuse(CudaError::invalid_handle, "cudaEventElapsedTime: expected two recorded events that take the time");
    }
    if (!first.token->done || !second.token->done) {
      refuse(CudaError::not_ready, "cudaEventElapsedTime: the work before an event is not done");
    }
    *milliseconds = std::chrono::duration<float, std::milli>(second.token->time - first.token->time).count();
  });
}

}  // namespace sightline::emulator
