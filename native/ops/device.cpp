#include "ops/device.h"

namespace sightline {

void Device::write(const Tensor& to, const float* host) {
  if (to.type() == DType::f32) return upload(to.elements().data, host, to.bytes());
  std::vector<bf16> rounded(static_cast<size_t>(to.size()));
  for (size_t i = 0; i < rounded.size(); ++i) rounded[i] = to_bf16(host[i]);
  upload(to.elements().data, rounded.data(), to.bytes());
}

std::vector<float> Device::read(const Tensor& from) {
  std::vector<float> values(static_cast<size_t>(from.size()));
  if (from.type() == DType::f32) {
    download(values.data(), from.elements().data, from.bytes());
  } else {
    std::vector<bf16> stored(values.size());
    download(stored.data(), from.elements().data, from.bytes());
    for (size_t i = 0; i < values.size(); ++i) values[i] = to_float(stored[i]);
  }
  return values;
}

void Device::start_profile() {
  profiler_ = std::make_unique<Profiler>(*backend_ops_);
  context().set_profiler(profiler_.get());
  ops_ = &profiling_ops();
}

Profile Device::stop_profile() {
  ops_ = backend_ops_;
  context().set_profiler(nullptr);
  Profile profile = profiler_->finish();
  profiler_.reset();
  return profile;
}

}  // namespace sightline
