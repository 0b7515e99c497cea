#pragma once

#include "cuda/device/launch.cuh"

namespace residua::cuda {

/// Divides numbers >= 0 by a fixed divisor >= 1. Below 2^31 this takes one multiplication and one shift (Granlund and
/// Montgomery 1994, figure 4.1).
class Divisor {
 public:
  explicit Divisor(int64_t divisor) : divisor_(divisor) {
    if (divisor > kLimit) {
      shift_ = 31;  // and a factor of 0: the quotient is always 0
      return;
    }
    while (int64_t{1} << shift_ < divisor) {
      ++shift_;
    }
    const auto rest = static_cast<uint64_t>((int64_t{1} << shift_) - divisor);
    factor_ = static_cast<uint32_t>((rest << 32) / static_cast<uint64_t>(divisor) + 1);
  }

  __device__ int64_t value() const { return divisor_; }
  /// n / divisor for n < 2^31.
  __device__ uint32_t of_small(uint32_t n) const {
    return (static_cast<uint32_t>((static_cast<uint64_t>(n) * factor_) >> 32) + n) >> shift_;
  }
  __device__ int64_t operator()(int64_t n) const {
    return n < kLimit ? static_cast<int64_t>(of_small(static_cast<uint32_t>(n))) : n / divisor_;
  }

  static constexpr int64_t kLimit = int64_t{1} << 31;

 private:
  int64_t divisor_;
  uint32_t factor_ = 0;
  int shift_ = 0;
};

/// Splits the flat index of an element of [images, rows, columns, depth] into its coordinates.
class Unflatten {
 public:
  template <class Int>
  struct PlaceIn {
    Int image, row, column, depth;
  };
  using Place = PlaceIn<int64_t>;

  Unflatten(int64_t rows, int64_t columns, int64_t depth) : rows_(rows), columns_(columns), depth_(depth) {}

  __device__ Place operator()(int64_t i) const {
    if (i < Divisor::kLimit) {
      return split<int64_t>(static_cast<uint32_t>(i), [](const Divisor& d, uint32_t n) { return d.of_small(n); });
    }
    return split<int64_t>(i, [](const Divisor& d, int64_t n) { return n / d.value(); });
  }
  /// Like operator(), if all indices are below 2^31.
  __device__ PlaceIn<int> of_small(int i) const {
    return split<int>(static_cast<uint32_t>(i), [](const Divisor& d, uint32_t n) { return d.of_small(n); });
  }

 private:
  template <class Out, class Int, class Divide>
  __device__ PlaceIn<Out> split(Int i, const Divide& divide) const {
    const Int pixel = divide(depth_, i);
    const Int line = divide(columns_, pixel);
    const Int image = divide(rows_, line);
    return {static_cast<Out>(image), static_cast<Out>(line - image * static_cast<Int>(rows_.value())),
            static_cast<Out>(pixel - line * static_cast<Int>(columns_.value())),
            static_cast<Out>(i - pixel * static_cast<Int>(depth_.value()))};
  }

  Divisor rows_, columns_, depth_;
};

}  // namespace residua::cuda
