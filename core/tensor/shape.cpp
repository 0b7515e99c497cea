#include "core/tensor/shape.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"

namespace residua {

int64_t checked_multiply(int64_t a, int64_t b) {
  constexpr int64_t kLimit = int64_t{1} << 62;
  if (a < 0 || b < 0 || (b != 0 && a > kLimit / b)) {
    fail("size {} x {} is negative or exceeds 2^62 elements", a, b);
  }
  return a * b;
}

Shape::Shape(std::span<const int64_t> sizes) {
  if (sizes.size() > kMaxRank) {
    fail("shape [{}] has {} dimensions, at most {} are supported", fmt::join(sizes, ", "), sizes.size(), kMaxRank);
  }
  rank_ = static_cast<int>(sizes.size());
  std::copy(sizes.begin(), sizes.end(), sizes_.begin());
  for (const int64_t n : sizes) {
    if (n < 0) {
      fail("shape [{}] has a negative size", fmt::join(sizes, ", "));
    }
  }
  for (const int64_t n : sizes) {
    size_ = checked_multiply(size_, n);
  }
}

int64_t Shape::dim(int i) const {
  const int index = i < 0 ? i + rank_ : i;
  if (index < 0 || index >= rank_) {
    fail("there is no dimension {} in a tensor of shape {}", i, string());
  }
  return sizes_[static_cast<size_t>(index)];
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(sizes_.begin(), sizes_.begin() + rank_, other.sizes_.begin());
}

std::string Shape::string() const { return fmt::format("[{}]", fmt::join(sizes(), ", ")); }

}  // namespace residua
