#pragma once

#include <optional>

#include "core/isa.h"
#include "ops/device.h"

namespace sightline {

/**
 * A device that counts instead of computing. Its arena accounts for every byte that a model and its passes would take,
 * without taking any, so a model of any size fits; its ops do nothing, and a profile of them holds what they would have had
 * to do (ops/op_work.h). What is read from it is zero.
 */
class CountingDevice : public Device {
 public:
  /** @param isa  the CPU path to stand in for; none: a GPU. Scratch memory of single ops is not counted. */
  CountingDevice(std::optional<Isa> isa, Precision precision, size_t memory_limit_bytes);

  std::string name() const override { return "counting"; }
  ExecutionContext& context() override { return context_; }
  void zero(void*, size_t) override {}
  void copy(void*, const void*, size_t) override {}
  void upload(void*, const void*, size_t) override {}
  void download(void* host, const void* from, size_t bytes) override;
  bool in_host_memory() const override { return isa_.has_value(); }
  bool reads_weights_in_place() const override { return !isa_; }
  int64_t packed_bytes(int64_t k, int64_t n) const override;
  bool computes() const override { return false; }
  std::unique_ptr<StepRecorder> make_step_recorder() override;

 private:
  class Context : public ExecutionContext {};

  std::optional<Isa> isa_;
  Context context_;
};

}  // namespace sightline
