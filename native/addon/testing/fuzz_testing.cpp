#include <napi.h>

#include <array>
#include <cstring>

#include "addon/failure.h"
#include "addon/testing/testing.h"
#include "io/tensor_search.h"

namespace sightline {
namespace {

/** SplitMix64 (Steele, Lea and Flood 2014). */
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  /** In [0, bound). */
  size_t below(size_t bound) {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return static_cast<size_t>((z ^ z >> 31) % bound);
  }

 private:
  uint64_t state_;
};

constexpr std::array fragments{"\"", "\\", "{", "}", "[", "]", ",", ":", "-", "0", "1", "4", "12", "18446744073709551615",
                               "9223372036854775807", "9223372036854775808", "4611686018427387904", "\"dtype\"", "\"shape\"",
                               "\"data_offsets\"", "\"__metadata__\"", "\"F32\"", "\"BF16\"", "\"I64\"", "\"F64\"", "\\ud800", "\xff", "1e9",
                               "null", "\"a\"", "\"b\"", "[0,12]", "[12,20]", "[3]", "{}"};

/** Up to three edits: a changed bit, a fragment put in, a range cut out, a range of another seed put in. */
std::string mutate(Random& random, const std::string& seed, const std::vector<std::string>& seeds) {
  std::string bytes = seed;
  for (size_t edits = random.below(4); edits > 0; --edits) {
    const size_t at = random.below(bytes.size() + 1);
    switch (random.below(4)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1: bytes.insert(at, fragments[random.below(fragments.size())]); break;
      case 2: bytes.erase(at, random.below(9)); break;
      default: {
        const std::string& other = seeds[random.below(seeds.size())];
        const size_t begin = random.below(other.size() + 1);
        bytes.insert(at, other.substr(begin, random.below(40)));
      }
    }
  }
  // Most inputs get a length field that is true for as much data as before, so that reading goes on behind it.
  if (seed.size() >= 8 && bytes.size() >= 8 && random.below(8) > 0) {
    uint64_t json_bytes = 0;
    std::memcpy(&json_bytes, seed.data(), 8);
    json_bytes += bytes.size() - seed.size();
    std::memcpy(bytes.data(), &json_bytes, 8);
  }
  return bytes;
}

struct Counts {
  double refused_headers = 0, headers = 0, refused_sets = 0, loaded_sets = 0;
};

/** Reads a set of files as the engine loads a model. */
void read_set(Random& random, const std::vector<std::string>& files, Counts& counts) {
  std::vector<std::unique_ptr<SafetensorsReader>> readers;
  for (const std::string& file : files) {
    try {
      readers.push_back(std::make_unique<SafetensorsReader>("fuzzed", std::string_view(file)));
      ++counts.headers;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::format) throw;
      ++counts.refused_headers;
    }
  }
  if (readers.empty()) return;
  // What stands in the valid seed: a (3), b (2). A file may make any other tensor of either.
  const std::vector<WantedTensor> wanted{{"a", "first", {3}, random.below(2) == 0}, {"b", "second", {2, 1}, true}};
  const TensorSearch search(std::move(readers));
  std::string problems;
  const std::vector<FoundTensor> found = search.find(wanted, {"ignored"}, {{"c", "b"}}, problems);
  if (!problems.empty()) {
    ++counts.refused_sets;
    return;
  }
  for (const FoundTensor& tensor : found) {
    const auto count = static_cast<int64_t>(tensor.tensor->element_count());
    int64_t rows_read = 0;
    read_rows(tensor, 1, [&](int64_t first, int64_t rows, const float*) { rows_read = first + rows; });
    require(rows_read == count, "fuzzed: expected ", count, " rows, received ", rows_read);
  }
  ++counts.loaded_sets;
}

/**
 * fuzzSafetensors(seeds: Uint8Array[], valid: Uint8Array, inputs: number, seed: number):
 *   { refusedHeaders, headers, refusedSets, loadedSets }
 *
 * Reads that many mutated files, in sets of one to three. Throws for anything but a typed error of format.
 */
Napi::Value fuzz(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto text = [](const Napi::Value& value) {
      const auto bytes = value.As<Napi::Uint8Array>();
      return std::string(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
    };
    std::vector<std::string> seeds;
    const auto list = info[0].As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) seeds.push_back(text(list.Get(i)));
    const std::string valid = text(info[1]);
    const double inputs = info[2].As<Napi::Number>().DoubleValue();
    Random random(static_cast<uint64_t>(info[3].As<Napi::Number>().Int64Value()));
    Counts counts;
    while (counts.headers + counts.refused_headers < inputs) {
      std::vector<std::string> files;
      for (size_t count = 1 + random.below(3); count > 0; --count) {
        const bool from_valid = random.below(3) > 0;
        files.push_back(mutate(random, from_valid ? valid : seeds[random.below(seeds.size())], seeds));
      }
      read_set(random, files, counts);
    }
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("refusedHeaders", counts.refused_headers);
    result.Set("headers", counts.headers);
    result.Set("refusedSets", counts.refused_sets);
    result.Set("loadedSets", counts.loaded_sets);
    return result;
  });
}

}  // namespace

void register_fuzzing(Napi::Env env, Napi::Object exports) { exports.Set("fuzzSafetensors", Napi::Function::New(env, fuzz)); }

}  // namespace sightline
