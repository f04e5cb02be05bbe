#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sightline {

/** Element types of the safetensors format that have a whole number of bytes. */
enum class Dtype { boolean, u8, i8, f8_e5m2, f8_e4m3, i16, u16, f16, bf16, i32, u32, f32, i64, u64, f64 };

/** The format's own name, e.g. "BF16". */
const char* dtype_name(Dtype dtype);
/** Bytes of one element. */
uint64_t dtype_size(Dtype dtype);

/** One tensor of a file: dense, row-major, little endian. */
struct TensorInfo {
  std::string name;
  Dtype dtype;
  std::vector<uint64_t> shape;
  /** Its bytes are [begin, end) of the data section, the part of the file after the header. */
  uint64_t begin;
  uint64_t end;

  uint64_t element_count() const { return (end - begin) / dtype_size(dtype); }
};

struct SafetensorsHeader {
  /** In order of name, each name once; together they cover the data section without holes or overlaps. */
  std::vector<TensorInfo> tensors;
  /** The strings under "__metadata__". */
  std::map<std::string, std::string> metadata;
  /** Where the data section starts in the file. */
  uint64_t data_begin;
};

/** Longest header, in bytes; the format's reference implementation has the same bound. */
inline constexpr uint64_t max_safetensors_header_bytes = 100'000'000;

/**
 * Reads and checks the header of a safetensors file: 8 bytes little-endian length, then that much JSON.
 * The JSON is read by a parser for this one shape of document, without recursion: anything else is an error.
 *
 * @param path      only for messages
 * @param contents  the whole file; no byte outside it is read, whatever it says
 * @throws format for anything that breaks the format: see test/io/safetensors.test.ts for the list
 */
SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view contents);

/** `name` in quotes for a message: control characters escaped, long names cut. */
std::string quote_name(std::string_view name);

}  // namespace sightline
