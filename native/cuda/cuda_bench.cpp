#include "cuda/cuda_bench.h"

#include <algorithm>
#include <optional>

#include "cuda/ceilings.h"
#include "cuda/cuda_context.h"
#include "cuda/cuda_error.h"

namespace sightline::cuda {
namespace {

/** An event that takes the time. */
class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaBench final : public GpuBench {
 public:
  explicit CudaBench(Device& device) : device_(device), context_(static_cast<CudaContext&>(device.context())) {
    context_.enter();
    start_.emplace();
    end_.emplace();
    const size_t tiles = 2 * static_cast<size_t>(facts().l2_bytes) / ceiling_tile_bytes + 1;
    flushed_ = device_.arena().allocate(tiles * ceiling_tile_bytes, Purpose::workspace);
    sums_ = device_.allocate(Purpose::workspace, 1, ceiling_sums(context_));
  }

  GpuFacts facts() const override {
    const auto ask = [this](cudaDeviceAttr attribute) {
      int value = 0;
      if (cudaDeviceGetAttribute(&value, attribute, context_.device()) != cudaSuccess) cudaGetLastError();
      return value;
    };
    return {.multiprocessors = context_.multiprocessors(),
            .l2_bytes = ask(cudaDevAttrL2CacheSize),
            .clock_khz = ask(cudaDevAttrClockRate),
            .memory_clock_khz = ask(cudaDevAttrMemoryClockRate)};
  }

  double time(const std::function<void()>& enqueue) override {
    flush_l2();
    check(cudaEventRecord(start_->get(), context_.stream()), "recording an event");
    enqueue();
    check(cudaEventRecord(end_->get(), context_.stream()), "recording an event");
    check(cudaEventSynchronize(end_->get()), "computing on the GPU");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start_->get(), end_->get()), "reading the time between two events");
    return static_cast<double>(milliseconds) / 1000;
  }

  Ceilings ceilings(size_t bytes, int rounds, int repeats) override {
    require(bytes >= ceiling_tile_bytes, "bytes: expected at least ", ceiling_tile_bytes, ", received ", bytes);
    require(rounds >= 1 && repeats >= 1, "rounds, repeats: expected at least 1, received ", rounds, " and ", repeats);
    bytes -= bytes % ceiling_tile_bytes;
    const auto from = device_.arena().allocate(bytes, Purpose::workspace), to = device_.arena().allocate(bytes, Purpose::workspace);
    device_.zero(from->data(), bytes);
    const double amount = static_cast<double>(bytes);
    const double multiply_adds = static_cast<double>(ceiling_fp32_multiply_adds(context_)) * rounds;
    return {.read_bytes_per_second = amount / best(repeats, [&] { ceiling_read(context_, from->data(), bytes, sums()); }),
            .copy_bytes_per_second = 2 * amount / best(repeats, [&] { ceiling_copy(context_, from->data(), to->data(), bytes); }),
            .fp32_flops_per_second = 2 * multiply_adds / best(repeats, [&] { ceiling_fp32(context_, rounds, sums()); })};
  }

  void multiply(const MatmulArgs& args) override {
    context_.enter();
    context_.expect_scratch(scratch_of_product(args));
    context_.multiply(args);
    context_.release_scratch();
  }

 private:
  float* sums() const { return sums_.elements().as<float>(); }

  /** Leaves L2 with lines of a buffer of its own that are as memory has them: none has to be written back while others are timed. */
  void flush_l2() {
    device_.zero(flushed_->data(), flushed_->bytes());
    ceiling_read(context_, flushed_->data(), flushed_->bytes(), sums());
  }

  /** The shortest of several times. */
  double best(int repeats, const std::function<void()>& enqueue) {
    double seconds = time(enqueue);
    for (int repeat = 1; repeat < repeats; ++repeat) seconds = std::min(seconds, time(enqueue));
    return seconds;
  }

  Device& device_;
  CudaContext& context_;
  std::optional<Event> start_, end_;
  std::shared_ptr<Storage> flushed_;
  Tensor sums_;
};

}  // namespace

std::unique_ptr<GpuBench> create_bench(Device& device) { return std::make_unique<CudaBench>(device); }

}  // namespace sightline::cuda
