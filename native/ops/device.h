#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/arena.h"
#include "core/execution_context.h"
#include "core/mirrored.h"
#include "core/precision.h"
#include "core/tensor.h"
#include "ops/op_table.h"
#include "ops/profiler.h"
#include "ops/step_recorder.h"

namespace sightline {

/** Where a model lives and computes: the memory and the ops of one backend. Calls take effect in the order they are made. */
class Device {
 public:
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /** For people: the instruction-set path, or the name of the GPU. */
  virtual std::string name() const = 0;
  /** In which the model that lives here computes. */
  Precision precision() const { return precision_; }
  /** How what lies between products is stored: activations, their gradients, frozen matrices. */
  DType operand_type() const { return precision_ == Precision::bf16 ? DType::bf16 : DType::f32; }
  Arena& arena() { return arena_; }
  virtual ExecutionContext& context() = 0;
  const OpTable& ops() const { return *ops_; }

  // ---- memory. Addresses are the device's own unless named `host`.
  virtual void zero(void* to, size_t bytes) = 0;
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  /** What `host` points to may be changed as soon as the call returns. */
  virtual void upload(void* to, const void* host, size_t bytes) = 0;
  /** Waits for everything before it. */
  virtual void download(void* host, const void* from, size_t bytes) = 0;
  /** Whether ops read and write the host's own memory. */
  virtual bool in_host_memory() const = 0;
  /** Whether products read weights as they are stored, if that is as operands are; else `pack_matrix` lays them out first. */
  virtual bool reads_weights_in_place() const = 0;
  /** Bytes of a matrix (K, N) as `pack_matrix` lays it out here. */
  virtual int64_t packed_bytes(int64_t k, int64_t n) const = 0;
  /** False on a device that only counts: what memory holds is nobody's concern there. */
  virtual bool computes() const { return true; }

  /** Contents are undefined. */
  Tensor allocate(Purpose purpose, int64_t rows, int64_t columns, DType type = DType::f32) {
    return Tensor(arena_, purpose, rows, columns, type);
  }
  Tensor allocate_zeros(Purpose purpose, int64_t rows, int64_t columns, DType type = DType::f32) {
    Tensor tensor = allocate(purpose, rows, columns, type);
    fill_zero(tensor);
    return tensor;
  }
  void fill_zero(const Tensor& tensor) { zero(tensor.elements().data, tensor.bytes()); }
  /** @param to  as many elements as `from`, of the same type */
  void copy(const Tensor& to, const Tensor& from) { copy(to.elements().data, from.elements().data, from.bytes()); }
  /** Rounded to the tensor's type. @param host  as many numbers as the tensor has */
  void write(const Tensor& to, const float* host);
  /** As fp32. */
  std::vector<float> read(const Tensor& from);
  /** Makes an array that ops can read. */
  template <class T>
  MirroredArray<T> mirror(std::vector<T> values) {
    if (in_host_memory() || values.empty()) return {std::move(values), nullptr};
    const size_t bytes = values.size() * sizeof(T);
    std::shared_ptr<Storage> storage = arena_.allocate(bytes, Purpose::workspace);
    upload(storage->data(), values.data(), bytes);
    return {std::move(values), std::shared_ptr<const T>(storage, static_cast<const T*>(storage->data()))};
  }
  /** A recorder of the device's own, which must not outlive it. */
  virtual std::unique_ptr<StepRecorder> make_step_recorder() { return std::make_unique<StepRecorder>(); }

  // ---- profiles
  /** Whether ops and scopes are being recorded. */
  bool profiling() const { return profiler_ != nullptr; }
  /** Records from now on. Must not be profiling, nor inside a ProfileScope. */
  void start_profile();
  /** Ends the recording, which must have been started. */
  Profile stop_profile();

 protected:
  /** @param memory, ops  must outlive the device */
  Device(Precision precision, size_t memory_limit_bytes, MemorySource& memory, const OpTable& ops)
      : precision_(precision), arena_(memory_limit_bytes, memory), backend_ops_(&ops), ops_(&ops) {}

 private:
  Precision precision_;
  Arena arena_;
  const OpTable* backend_ops_;
  const OpTable* ops_;
  std::unique_ptr<Profiler> profiler_;
};

/** Names what the device does during the object's lifetime, for its profile if one is being taken. Scopes may nest. */
class ProfileScope {
 public:
  /** @param name  a literal */
  ProfileScope(Device& device, const char* name) : profiler_(device.context().profiler()) {
    if (profiler_) profiler_->open(name);
  }
  ~ProfileScope() {
    if (profiler_) profiler_->close();
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  Profiler* profiler_;
};

}  // namespace sightline
