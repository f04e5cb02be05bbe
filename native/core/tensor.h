#pragma once

#include <cstdint>
#include <memory>

#include "core/arena.h"

namespace sightline {

/** A row-major fp32 matrix of an arena, or a view of consecutive rows of one. Copies share the memory. */
class Tensor {
 public:
  Tensor() = default;
  /** Contents are undefined. */
  Tensor(Arena& arena, Purpose purpose, int64_t rows, int64_t columns)
      : storage_(arena.allocate(static_cast<size_t>(rows * columns) * sizeof(float), purpose)),
        data_(static_cast<float*>(storage_->data())),
        rows_(rows),
        columns_(columns) {}

  float* data() const { return data_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t size() const { return rows_ * columns_; }
  explicit operator bool() const { return storage_ != nullptr; }

  /** Lets go of the memory; the shape stays. */
  void drop_data() {
    storage_.reset();
    data_ = nullptr;
  }

  /** Rows [first, first + count) of the same memory. */
  Tensor slice_rows(int64_t first, int64_t count) const {
    Tensor view = *this;
    view.data_ += first * columns_;
    view.rows_ = count;
    return view;
  }

 private:
  std::shared_ptr<Storage> storage_;
  float* data_ = nullptr;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
};

}  // namespace sightline
