#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/safetensors_header.h"

namespace sightline {

/** A file mapped read-only into memory, for as long as the object lives. */
class MappedFile {
 public:
  /** @throws io when the file cannot be opened or mapped, or is not a regular file */
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view contents() const { return {static_cast<const char*>(data_), size_}; }

  /** Lets go of the memory that holds a part of the contents, which is read from the file again when it is looked at again. */
  void release(std::string_view part) const;

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

/**
 * A safetensors file, checked as a whole when it is opened, read tensor by tensor without loading the rest.
 * Another process that shortens the file while it is open raises SIGBUS, as for every mapping: replace model
 * files by renaming (as `write_safetensors` does), never in place.
 */
class SafetensorsReader {
 public:
  /** @throws io for the file, format for its contents */
  explicit SafetensorsReader(const std::string& path);
  /** Of a file that is in memory already. @param contents  must outlive the reader @throws format */
  SafetensorsReader(const std::string& path, std::string_view contents);

  const std::string& path() const { return path_; }
  /** In order of name. */
  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

  /** The tensor of that name, or null. */
  const TensorInfo* find(std::string_view name) const;

  /** The bytes of one of `tensors()`, where they lie in the file; no address is aligned. */
  std::string_view bytes(const TensorInfo& tensor) const;
  /** To be called when a tensor's bytes have been used: a whole model need not stay in memory to be read. */
  void release(const TensorInfo& tensor) const;

  /**
   * Converts a tensor of dtype F32, F64, F16 or BF16 to fp32 (see `load_floats`).
   *
   * @param out    `count` floats, written
   * @param count  the tensor's number of elements
   * @throws format when the file has no such tensor, or one of another dtype or number of elements
   */
  void read_floats(std::string_view name, float* out, uint64_t count) const;

 private:
  std::string path_;
  /** Null where the contents are the caller's. */
  std::unique_ptr<MappedFile> file_;
  std::string_view contents_;
  SafetensorsHeader header_;
};

}  // namespace sightline
