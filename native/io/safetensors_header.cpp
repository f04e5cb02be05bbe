#include "io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <limits>
#include <optional>

#include "core/error.h"
#include "io/json_cursor.h"
#include "io/utf8.h"

namespace sightline {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor bytes are used as they stand in the file");

struct DtypeRow {
  const char* name;
  uint64_t size;
};
constexpr std::array<DtypeRow, 15> dtypes{{
    {"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
    {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4}, {"I64", 8}, {"U64", 8}, {"F64", 8}}};

constexpr uint64_t length_bytes = 8;
/** Far above any real tensor's; keeps a hostile header from growing a shape without bound. */
constexpr size_t max_rank = 32;
constexpr const char* metadata_key = "__metadata__";

std::string shape_text(const std::vector<uint64_t>& shape) {
  std::string text = "[";
  for (const uint64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

/** Sizes times element size; nothing if that passes 2^64. A zero size makes it zero whatever the rest. */
std::optional<uint64_t> byte_size(const TensorInfo& tensor) {
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0u) != tensor.shape.end()) return 0;
  uint64_t bytes = dtype_size(tensor.dtype);
  for (const uint64_t size : tensor.shape) {
    if (bytes > std::numeric_limits<uint64_t>::max() / size) return std::nullopt;
    bytes *= size;
  }
  return bytes;
}

/** The part of the reading that knows the document's shape: an object of tensors and of "__metadata__". */
class HeaderReader {
 public:
  HeaderReader(const std::string& path, std::string_view json, uint64_t data_bytes)
      : path_(path), json_(json, path + ": header"), data_bytes_(data_bytes) {}

  void read(SafetensorsHeader& header) {
    json_.expect('{');
    if (!json_.take('}')) {
      do {
        const std::string name = json_.string();
        json_.expect(':');
        if (name == metadata_key)
          read_metadata(header);
        else
          header.tensors.push_back(read_tensor(name));
      } while (json_.another('}'));
    }
    json_.expect_end();
    std::sort(header.tensors.begin(), header.tensors.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    check_names(header.tensors);
    check_spans(header.tensors);
  }

 private:
  template <class... Parts>
  [[noreturn]] void fail_tensor(const std::string& name, const Parts&... parts) const {
    fail(ErrorCode::format, path_, ": tensor ", quote_name(name), ": ", parts...);
  }

  void read_metadata(SafetensorsHeader& header) {
    if (seen_metadata_)
      fail(ErrorCode::format, path_, ": header: expected one ", metadata_key, ", received two");
    seen_metadata_ = true;
    json_.expect('{');
    if (json_.take('}')) return;
    do {
      const std::string key = json_.string();
      json_.expect(':');
      if (!header.metadata.emplace(key, json_.string()).second) {
        fail(ErrorCode::format, path_, ": ", metadata_key, ": expected each key once, received ",
             quote_name(key), " twice");
      }
    } while (json_.another('}'));
  }

  TensorInfo read_tensor(const std::string& name) {
    TensorInfo tensor{.name = name, .dtype = Dtype::f32, .shape = {}, .begin = 0, .end = 0};
    bool has_dtype = false, has_shape = false, has_offsets = false;
    const auto first_time = [&](bool& seen, const std::string& key) {
      if (seen) fail_tensor(name, "expected each key once, received ", quote_name(key), " twice");
      seen = true;
    };
    json_.expect('{');
    if (!json_.take('}')) {
      do {
        const std::string key = json_.string();
        json_.expect(':');
        if (key == "dtype") {
          first_time(has_dtype, key);
          tensor.dtype = read_dtype(name);
        } else if (key == "shape") {
          first_time(has_shape, key);
          tensor.shape = read_integers(name, key, max_rank);
        } else if (key == "data_offsets") {
          first_time(has_offsets, key);
          const std::vector<uint64_t> offsets = read_integers(name, key, 2);
          if (offsets.size() != 2)
            fail_tensor(name, "data_offsets: expected 2 integers, received ", offsets.size());
          tensor.begin = offsets[0];
          tensor.end = offsets[1];
        } else {
          fail_tensor(name, "expected the keys dtype, shape and data_offsets, received ", quote_name(key));
        }
      } while (json_.another('}'));
    }
    if (!has_dtype) fail_tensor(name, "dtype: expected a dtype, received nothing");
    if (!has_shape) fail_tensor(name, "shape: expected a list of sizes, received nothing");
    if (!has_offsets) fail_tensor(name, "data_offsets: expected [begin, end], received nothing");
    check_extent(tensor);
    return tensor;
  }

  Dtype read_dtype(const std::string& tensor) {
    const std::string name = json_.string();
    for (size_t i = 0; i < dtypes.size(); ++i) {
      if (name == dtypes[i].name) return static_cast<Dtype>(i);
    }
    fail_tensor(tensor, "dtype: expected a dtype of whole bytes such as F32 or BF16, received ",
                quote_name(name));
  }

  std::vector<uint64_t> read_integers(const std::string& tensor, const std::string& key, size_t max_count) {
    std::vector<uint64_t> integers;
    json_.expect('[');
    if (json_.take(']')) return integers;
    do {
      if (integers.size() == max_count) {
        fail_tensor(tensor, key, ": expected at most ", max_count, " integers, received more");
      }
      integers.push_back(json_.unsigned_integer());
    } while (json_.another(']'));
    return integers;
  }

  void check_extent(const TensorInfo& tensor) const {
    const std::string offsets = concat("[", tensor.begin, ", ", tensor.end, "]");
    if (tensor.begin > tensor.end || tensor.end > data_bytes_) {
      fail_tensor(tensor.name, "data_offsets: expected 0 <= begin <= end <= ", data_bytes_,
                  ", the file's bytes of data, received ", offsets);
    }
    const std::optional<uint64_t> bytes = byte_size(tensor);
    if (bytes != tensor.end - tensor.begin) {
      fail_tensor(tensor.name, "data_offsets: expected a span of ",
                  bytes ? std::to_string(*bytes) : "more than 2^64", " bytes for ", dtype_name(tensor.dtype),
                  " of shape ", shape_text(tensor.shape), ", received ", offsets);
    }
  }

  void check_names(const std::vector<TensorInfo>& tensors) const {
    const auto twice = std::adjacent_find(tensors.begin(), tensors.end(),
                                          [](const auto& a, const auto& b) { return a.name == b.name; });
    if (twice != tensors.end()) fail_tensor(twice->name, "expected each name once, received it twice");
  }

  void check_spans(const std::vector<TensorInfo>& tensors) const {
    std::vector<const TensorInfo*> order;
    order.reserve(tensors.size());
    for (const TensorInfo& tensor : tensors) order.push_back(&tensor);
    // By end as well: an empty tensor comes before the one that starts where it stands.
    std::sort(order.begin(), order.end(), [](const TensorInfo* a, const TensorInfo* b) {
      return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
    });
    uint64_t covered = 0;
    for (const TensorInfo* tensor : order) {
      if (tensor->begin != covered) {
        fail_tensor(tensor->name, "data_offsets: expected begin = ", covered,
                    ", where the tensor before it ends, received ", tensor->begin,
                    tensor->begin < covered ? " (an overlap)" : " (a hole)");
      }
      covered = tensor->end;
    }
    if (covered != data_bytes_) {
      fail(ErrorCode::format, path_, ": expected ", covered,
           " bytes of data, as the header describes, received ", data_bytes_);
    }
  }

  const std::string& path_;
  JsonCursor json_;
  uint64_t data_bytes_;
  bool seen_metadata_ = false;
};

}  // namespace

const char* dtype_name(Dtype dtype) { return dtypes[static_cast<size_t>(dtype)].name; }

uint64_t dtype_size(Dtype dtype) { return dtypes[static_cast<size_t>(dtype)].size; }

std::string quote_name(std::string_view name) {
  constexpr size_t longest = 200;
  std::string text = "\"";
  size_t end = std::min(name.size(), longest);
  while (end > 0 && end < name.size() && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  for (const char symbol : name.substr(0, end)) {
    const unsigned byte = static_cast<unsigned char>(symbol);
    if (byte < 0x20 || byte == 0x7F) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      text += escaped;
    } else {
      text.push_back(symbol);
    }
  }
  return text + (end < name.size() ? "...\"" : "\"");
}

SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view contents) {
  if (contents.size() < length_bytes) {
    fail(ErrorCode::format, path, ": expected at least ", length_bytes, " bytes, received ", contents.size());
  }
  uint64_t json_bytes = 0;
  std::memcpy(&json_bytes, contents.data(), length_bytes);
  const uint64_t available = std::min<uint64_t>(contents.size() - length_bytes, max_safetensors_header_bytes);
  if (json_bytes > available) {
    fail(ErrorCode::format, path, ": header length: expected at most ", available,
         available == max_safetensors_header_bytes ? " bytes" : " bytes, the rest of the file", ", received ",
         json_bytes);
  }
  const std::string_view json = contents.substr(length_bytes, json_bytes);
  const size_t invalid = find_invalid_utf8(json);
  if (invalid < json.size()) {
    fail(ErrorCode::format, path, ": header, byte ", invalid, ": expected UTF-8, received byte value ",
         static_cast<unsigned>(static_cast<unsigned char>(json[invalid])));
  }
  // The format asks for it, so that a file is known by its ninth byte.
  if (!json.starts_with('{'))
    fail(ErrorCode::format, path, ": header: expected '{' as its first byte, received another");
  SafetensorsHeader header{.tensors = {}, .metadata = {}, .data_begin = length_bytes + json_bytes};
  HeaderReader(path, json, contents.size() - header.data_begin).read(header);
  return header;
}

}  // namespace sightline
