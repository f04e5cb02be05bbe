#include "cuda/cuda_interface.h"

#include <cuda_runtime_api.h>

#include "cuda/cublaslt_library.h"
#include "cuda/cuda_bench.h"
#include "cuda/cuda_device.h"

namespace sightline::cuda {
namespace {

std::string version_text(int version) { return concat(version / 1000, '.', version % 1000 / 10); }

std::string driver_problem(cudaError_t status, const Findings& findings) {
  if (findings.driver_version == 0)
    return "NVIDIA driver: there is none; install the driver of the GPU, and in a container start it with its GPUs "
           "(e.g. docker run --gpus all)";
  if (status == cudaErrorInsufficientDriver)
    return concat("NVIDIA driver: expected one for CUDA ", version_text(findings.runtime_version), " or newer, found one for CUDA ",
                  version_text(findings.driver_version), "; update the driver, or build the library with an older CUDA toolkit");
  if (status == cudaErrorNoDevice)
    return "GPU: there is none, or CUDA_VISIBLE_DEVICES hides it; `nvidia-smi` shows what the driver sees";
  return concat("NVIDIA driver: ", cudaGetErrorString(status), " (", cudaGetErrorName(status), "); `nvidia-smi` may say more");
}

std::string capability_problem(const Gpu& gpu, size_t index) {
  return concat("GPU ", index, " (", gpu.name, "): expected compute capability ", oldest_compute_capability / 10, '.',
                oldest_compute_capability % 10, " or higher (A100 and newer), found ", gpu.compute_capability / 10, '.',
                gpu.compute_capability % 10, "; use another GPU, or the device \"cpu\"");
}

std::string cublaslt_problem() {
  try {
    cublaslt::functions();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

Findings probe() {
  Findings findings;
  cudaRuntimeGetVersion(&findings.runtime_version);
  if (cudaDriverGetVersion(&findings.driver_version) != cudaSuccess) findings.driver_version = 0;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();  // asking is no failure that later calls should meet
  if (status != cudaSuccess || count == 0)
    findings.problems.push_back(driver_problem(status == cudaSuccess ? cudaErrorNoDevice : status, findings));
  for (int index = 0; status == cudaSuccess && index < count; ++index) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "asking for a GPU's properties");
    findings.gpus.push_back({.name = properties.name,
                             .compute_capability = 10 * properties.major + properties.minor,
                             .memory_bytes = static_cast<int64_t>(properties.totalGlobalMem)});
    if (findings.gpus.back().compute_capability < oldest_compute_capability)
      findings.problems.push_back(capability_problem(findings.gpus.back(), findings.gpus.size() - 1));
  }
  if (const std::string problem = cublaslt_problem(); !problem.empty()) findings.problems.push_back(problem);
  return findings;
}

std::unique_ptr<Device> create(int gpu, Precision precision, size_t memory_limit_bytes) {
  const Findings findings = probe();
  const auto count = static_cast<int>(findings.gpus.size());
  if (count == 0) fail(ErrorCode::unsupported, "device: ", findings.problems.front());
  if (gpu >= count)
    fail(ErrorCode::unsupported, "device: expected one of the ", count, count == 1 ? " GPU" : " GPUs", " of this machine, \"cuda:0\"",
         count == 1 ? "" : concat(" to \"cuda:", count - 1, '"'), ", received \"cuda:", gpu, '"');
  const auto index = static_cast<size_t>(gpu);
  if (findings.gpus[index].compute_capability < oldest_compute_capability)
    fail(ErrorCode::unsupported, "device: ", capability_problem(findings.gpus[index], index));
  cublaslt::functions();
  return std::make_unique<CudaDevice>(gpu, precision, memory_limit_bytes);
}

}  // namespace
}  // namespace sightline::cuda

extern "C" [[gnu::visibility("default")]] const sightline::cuda::Interface* sightline_cuda_interface(uint32_t version) {
  static constexpr sightline::cuda::Interface interface{&sightline::cuda::probe, &sightline::cuda::create,
                                                         &sightline::cuda::create_bench};
  return version == sightline::cuda::interface_version() ? &interface : nullptr;
}
