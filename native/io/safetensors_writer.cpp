#include "io/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <limits>
#include <set>
#include <string_view>

#include "core/error.h"
#include "io/stored_floats.h"
#include "io/system_error.h"
#include "io/utf8.h"

namespace sightline {
namespace {

/** The file under its temporary name; removed again unless it was put in its place. */
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target) : target_(target) {
    static std::atomic<uint64_t> serial{0};
    do {  // a name can be taken by what a killed process of the same id left behind
      path_ = concat(target, ".", ::getpid(), "-", serial.fetch_add(1), ".tmp");
      descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ < 0) fail_system(path_, "create");
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!placed_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(const void* data, uint64_t bytes) {
    constexpr uint64_t largest_call = uint64_t{1} << 30;  // macOS refuses 2 GB at once
    const char* from = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = ::write(descriptor_, from, std::min(bytes, largest_call));
      if (written < 0) {
        if (errno == EINTR) continue;
        fail_system(path_, "write");
      }
      from += written;
      bytes -= static_cast<uint64_t>(written);
    }
  }

  void move_into_place() {
    if (::fsync(descriptor_) != 0) fail_system(path_, "flush to the disk");
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0) fail_system(path_, "close");
    if (::rename(path_.c_str(), target_.c_str()) != 0) fail_system(target_, "replace");
    placed_ = true;
    flush_folder();
  }

 private:
  /** Makes the rename itself survive a power loss. */
  void flush_folder() const {
    const size_t slash = target_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : target_.substr(0, slash + 1);
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail_system(folder, "open");
    const int error = ::fsync(descriptor) == 0 ? 0 : errno;
    ::close(descriptor);
    // Some file systems have nothing to flush for a folder and say so with EINVAL.
    if (error != 0 && error != EINVAL) {
      errno = error;
      fail_system(folder, "flush to the disk");
    }
  }

  std::string target_;
  std::string path_;
  int descriptor_ = -1;
  bool placed_ = false;
};

std::string json_string(const std::string& what, std::string_view text) {
  require(find_invalid_utf8(text) == text.size(), what, ": expected UTF-8, received ill-formed text");
  std::string json = "\"";
  for (const char symbol : text) {
    const unsigned byte = static_cast<unsigned char>(symbol);
    if (symbol == '"' || symbol == '\\') {
      json += {'\\', symbol};
    } else if (byte < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      json += escaped;
    } else {
      json.push_back(symbol);
    }
  }
  return json + "\"";
}

uint64_t byte_size(const TensorToWrite& tensor) {
  constexpr uint64_t most = std::numeric_limits<int64_t>::max();
  uint64_t bytes = dtype_size(tensor.dtype);
  for (const int64_t size : tensor.shape) {
    require(size >= 0, "tensor ", quote_name(tensor.name), ": shape: expected sizes >= 0, received ", size);
    require(size == 0 || bytes <= most / static_cast<uint64_t>(size), "tensor ", quote_name(tensor.name),
            ": shape: expected less than 2^63 bytes, received more");
    bytes *= static_cast<uint64_t>(size);
  }
  return bytes;
}

std::string header_json(const std::vector<TensorToWrite>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string json = "{\"__metadata__\":{";
  const char* separator = "";
  for (const auto& [key, value] : metadata) {
    json += concat(separator, json_string("metadata key", key), ":",
                   json_string(concat("metadata ", quote_name(key)), value));
    separator = ",";
  }
  json += "}";
  std::set<std::string_view> names{"__metadata__"};
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    require(names.insert(tensor.name).second, "tensor ", quote_name(tensor.name),
            ": expected a name of its own, received one that is taken");
    const uint64_t bytes = byte_size(tensor);
    json += concat(",", json_string("tensor name", tensor.name), ":{\"dtype\":\"", dtype_name(tensor.dtype), "\",\"shape\":[");
    separator = "";
    for (const int64_t size : tensor.shape) {
      json += concat(separator, size);
      separator = ",";
    }
    json += concat("],\"data_offsets\":[", offset, ",", offset + bytes, "]}");
    offset += bytes;
  }
  json += "}";
  json.append((8 - json.size() % 8) % 8, ' ');
  require(json.size() <= max_safetensors_header_bytes, "tensors: expected a header of at most ",
          max_safetensors_header_bytes, " bytes, received ", json.size());
  return json;
}

}  // namespace

std::function<void(const WriteBytes&)> write_floats(Dtype dtype, std::function<std::vector<float>()> values) {
  return [dtype, values = std::move(values)](const WriteBytes& write) {
    const std::vector<float> numbers = values();
    if (dtype == Dtype::f32) return write(numbers.data(), numbers.size() * sizeof(float));
    std::vector<char> stored(numbers.size() * dtype_size(dtype));
    store_floats(numbers.data(), dtype, stored.data(), numbers.size());
    write(stored.data(), stored.size());
  };
}

void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string header = header_json(tensors, metadata);
  const uint64_t header_bytes = header.size();
  TemporaryFile file(path);
  file.write(&header_bytes, sizeof header_bytes);
  file.write(header.data(), header.size());
  for (const TensorToWrite& tensor : tensors) {
    uint64_t written = 0;
    tensor.write([&](const void* data, uint64_t bytes) {
      file.write(data, bytes);
      written += bytes;
    });
    const uint64_t expected = byte_size(tensor);
    require(written == expected, "tensor ", quote_name(tensor.name), ": expected ", expected, " bytes, received ", written);
  }
  file.move_into_place();
}

}  // namespace sightline
