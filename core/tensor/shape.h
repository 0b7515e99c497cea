#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace residua {

/// The sizes of a contiguous tensor with at most four dimensions. Rank 0 is a scalar with one element.
/// Throws Error on a negative size, more than four dimensions, or more than 2^62 elements.
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  explicit Shape(std::span<const int64_t> sizes);

  int rank() const { return rank_; }
  /// Number of elements.
  int64_t size() const { return size_; }
  /// Size of dimension `i`. Negative `i` counts from the end.
  int64_t dim(int i) const;
  int64_t operator[](int i) const { return dim(i); }
  std::span<const int64_t> sizes() const { return {sizes_.data(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& other) const;
  /// "[32, 56, 56, 64]"
  std::string string() const;

 private:
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
  int64_t size_ = 1;
};

/// a * b for sizes. Throws Error on overflow or a negative factor.
int64_t checked_multiply(int64_t a, int64_t b);

}  // namespace residua
