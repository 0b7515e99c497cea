#pragma once

#include "core/tensor/tensor.h"

namespace residua {

/// Checks the arguments of an op. Each check throws Error that names the op, the argument, what was got and what was wanted:
/// "conv2d: w is [64, 3, 3, 8] f32 on cpu, wanted 3 channels as in x".
class ArgumentCheck {
 public:
  explicit ArgumentCheck(const char* op) : op_(op) {}

  /// The tensor must be defined, not empty, and of type f32, f16 or bf16.
  void floating(const char* argument, const Tensor& tensor) const;
  void rank(const char* argument, const Tensor& tensor, int wanted) const;
  void shape(const char* argument, const Tensor& tensor, const Shape& wanted) const;
  void dtype(const char* argument, const Tensor& tensor, DType wanted) const;
  void device(const char* argument, const Tensor& tensor, Device wanted) const;
  /// Checks shape, dtype and device at once.
  void exactly(const char* argument, const Tensor& tensor, const Shape& shape, DType dtype, Device device) const;
  /// Checks an option such as a stride: `value` must be in [low, high].
  void range(const char* option, int64_t value, int64_t low, int64_t high) const;
  /// A window of `window_height` x `window_width` must fit at least once into x [N, H, W, C] with `padding` on each side.
  void window_fits(const Tensor& x, int64_t window_height, int64_t window_width, int64_t padding) const;

  const char* op() const { return op_; }

 private:
  const char* op_;
};

/// "[2, 3] f32 on cpu", or "undefined".
std::string describe(const Tensor& tensor);

}  // namespace residua
