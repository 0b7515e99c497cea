#include "core/ops/check.h"

namespace residua {

std::string describe(const Tensor& tensor) {
  if (!tensor.defined()) {
    return "undefined";
  }
  return fmt::format("{} {} on {}", tensor.shape().string(), name(tensor.dtype()), tensor.device().string());
}

void ArgumentCheck::floating(const char* argument, const Tensor& tensor) const {
  if (!tensor.defined() || !is_floating(tensor.dtype()) || tensor.size() == 0) {
    fail("{}: {} is {}, wanted a non-empty tensor of type f32, f16 or bf16", op_, argument, describe(tensor));
  }
}

void ArgumentCheck::rank(const char* argument, const Tensor& tensor, int wanted) const {
  if (!tensor.defined() || tensor.shape().rank() != wanted) {
    fail("{}: {} is {}, wanted {} dimensions", op_, argument, describe(tensor), wanted);
  }
}

void ArgumentCheck::shape(const char* argument, const Tensor& tensor, const Shape& wanted) const {
  if (!tensor.defined() || tensor.shape() != wanted) {
    fail("{}: {} is {}, wanted the shape {}", op_, argument, describe(tensor), wanted.string());
  }
}

void ArgumentCheck::dtype(const char* argument, const Tensor& tensor, DType wanted) const {
  if (!tensor.defined() || tensor.dtype() != wanted) {
    fail("{}: {} is {}, wanted {}", op_, argument, describe(tensor), name(wanted));
  }
}

void ArgumentCheck::device(const char* argument, const Tensor& tensor, Device wanted) const {
  if (!tensor.defined() || tensor.device() != wanted) {
    fail("{}: {} is {}, wanted it on {}", op_, argument, describe(tensor), wanted.string());
  }
}

void ArgumentCheck::exactly(const char* argument, const Tensor& tensor, const Shape& wanted_shape, DType wanted_dtype,
                            Device wanted_device) const {
  shape(argument, tensor, wanted_shape);
  dtype(argument, tensor, wanted_dtype);
  device(argument, tensor, wanted_device);
}

void ArgumentCheck::range(const char* option, int64_t value, int64_t low, int64_t high) const {
  if (value < low || value > high) {
    fail("{}: {} is {}, wanted {} to {}", op_, option, value, low, high);
  }
}

void ArgumentCheck::window_fits(const Tensor& x, int64_t window_height, int64_t window_width, int64_t padding) const {
  if (x.dim(1) + 2 * padding < window_height || x.dim(2) + 2 * padding < window_width) {
    fail("{}: x is {}, too small for the window {} x {} with padding {}", op_, describe(x), window_height, window_width,
         padding);
  }
}

}  // namespace residua
