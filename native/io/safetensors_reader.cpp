#include "io/safetensors_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/error.h"
#include "io/stored_floats.h"
#include "io/system_error.h"

namespace sightline {
namespace {

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

void MappedFile::release(std::string_view part) const {
  // Whole pages only: what lies beside the part may be in use.
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  // Advice: nothing is lost where the system does not take it.
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

SafetensorsReader::SafetensorsReader(const std::string& path)
    : path_(path),
      file_(std::make_unique<MappedFile>(path)),
      contents_(file_->contents()),
      header_(parse_safetensors_header(path, contents_)) {}

SafetensorsReader::SafetensorsReader(const std::string& path, std::string_view contents)
    : path_(path), contents_(contents), header_(parse_safetensors_header(path, contents)) {}

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
  if (!holds_floats(tensor->dtype)) {
    fail(ErrorCode::format, path_, ": tensor ", quote_name(name), ": expected dtype F32, F64, F16 or BF16, received ",
         dtype_name(tensor->dtype));
  }
  load_floats(bytes(*tensor).data(), tensor->dtype, out, count);
}

std::string_view SafetensorsReader::bytes(const TensorInfo& tensor) const {
  return contents_.substr(header_.data_begin + tensor.begin, tensor.end - tensor.begin);
}

void SafetensorsReader::release(const TensorInfo& tensor) const {
  if (file_) file_->release(bytes(tensor));
}

}  // namespace sightline
