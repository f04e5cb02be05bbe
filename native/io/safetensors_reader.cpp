#include "io/safetensors_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"
#include "io/system_error.h"

namespace sightline {
namespace {

float bf16_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

/** IEEE binary16 to binary32 without branches or subnormal arithmetic, so that loops of it vectorise. */
float f16_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7FFF) << 13;
  const uint32_t exponent = magnitude >> 23;
  const uint32_t normal = magnitude + (uint32_t{127 - 15} << 23);
  const uint32_t infinite = magnitude | 0x7F800000;
  // (1 + m / 1024) 2^-14 - 2^-14 = m 2^-24, which is what a subnormal with mantissa m stands for.
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(0x38800000 | magnitude) - 0x1p-14f);
  const uint32_t finite = exponent == 0 ? subnormal : normal;
  return std::bit_cast<float>(sign | (exponent == 31 ? infinite : finite));
}

/** The data section may start at any byte, so elements are copied, not cast. */
template <class Element, class Convert>
void convert_elements(const char* from, float* out, uint64_t count, Convert convert) {
  for (uint64_t i = 0; i < count; ++i) {
    Element element;
    std::memcpy(&element, from + i * sizeof(Element), sizeof(Element));
    out[i] = convert(element);
  }
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  ~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  // O_NONBLOCK: opening a pipe must fail the check below, not wait for a writer.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) fail_system(path, "open");
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail_system(path, "examine");
  if (!S_ISREG(status.st_mode))
    fail(ErrorCode::io, path, ": expected a regular file, received another kind of file");
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;  // an empty range cannot be mapped
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) fail_system(path, "map into memory");
  data_ = mapped;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

SafetensorsReader::SafetensorsReader(const std::string& path)
    : path_(path), file_(path), header_(parse_safetensors_header(path, file_.contents())) {}

const TensorInfo* SafetensorsReader::find(std::string_view name) const {
  const auto at = std::lower_bound(
      header_.tensors.begin(), header_.tensors.end(), name,
      [](const TensorInfo& tensor, std::string_view wanted) { return tensor.name < wanted; });
  return at != header_.tensors.end() && at->name == name ? &*at : nullptr;
}

void SafetensorsReader::read_floats(std::string_view name, float* out, uint64_t count) const {
  const TensorInfo* tensor = find(name);
  if (tensor == nullptr) {
    fail(ErrorCode::format, path_, ": expected a tensor ", quote_name(name), ", received a file without it");
  }
  if (tensor->element_count() != count) {
    fail(ErrorCode::format, path_, ": tensor ", quote_name(name), ": expected ", count,
         " elements, received ", tensor->element_count());
  }
  const char* from = file_.contents().data() + header_.data_begin + tensor->begin;
  switch (tensor->dtype) {
    case Dtype::f32:
      if (count > 0) std::memcpy(out, from, count * sizeof(float));
      return;
    case Dtype::f64:
      return convert_elements<double>(from, out, count,
                                      [](double element) { return static_cast<float>(element); });
    case Dtype::f16: return convert_elements<uint16_t>(from, out, count, f16_to_float);
    case Dtype::bf16: return convert_elements<uint16_t>(from, out, count, bf16_to_float);
    default:
      fail(ErrorCode::format, path_, ": tensor ", quote_name(name),
           ": expected dtype F32, F64, F16 or BF16, received ", dtype_name(tensor->dtype));
  }
}

}  // namespace sightline
