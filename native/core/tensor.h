#pragma once

#include <cstdint>
#include <memory>

#include "core/arena.h"
#include "core/elements.h"

namespace sightline {

/** A row-major matrix of an arena, or a view of consecutive rows of one. Copies share the memory. */
class Tensor {
 public:
  Tensor() = default;
  /** Contents are undefined. */
  Tensor(Arena& arena, Purpose purpose, int64_t rows, int64_t columns, DType type = DType::f32)
      : storage_(arena.allocate(static_cast<size_t>(rows * columns * size_of(type)), purpose)),
        elements_(storage_->data(), type),
        rows_(rows),
        columns_(columns) {}

  /** What ops take: null if there is no memory. */
  Elements elements() const { return elements_; }
  /** The same, where it is fp32 by construction. */
  float* data() const { return elements_.as<float>(); }
  DType type() const { return elements_.type; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t size() const { return rows_ * columns_; }
  size_t bytes() const { return static_cast<size_t>(size() * size_of(type())); }
  explicit operator bool() const { return storage_ != nullptr; }

  /** Lets go of the memory; shape and type stay. */
  void drop_data() {
    storage_.reset();
    elements_.data = nullptr;
  }

  /** The same memory with other rows and columns, of as many elements. */
  Tensor reshape(int64_t rows, int64_t columns) const {
    Tensor view = *this;
    view.rows_ = rows;
    view.columns_ = columns;
    return view;
  }

  /** Rows [first, first + count) of the same memory. */
  Tensor slice_rows(int64_t first, int64_t count) const {
    Tensor view = *this;
    view.elements_ = elements_.at(first * columns_);
    view.rows_ = count;
    return view;
  }

 private:
  std::shared_ptr<Storage> storage_;
  Elements elements_;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
};

}  // namespace sightline
