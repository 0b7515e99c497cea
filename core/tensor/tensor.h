#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/dtype.h"
#include "core/base/error.h"
#include "core/device/device.h"
#include "core/tensor/shape.h"

namespace residua {

struct AutogradMeta;

/// A contiguous array on a device: a shared handle that is cheap to copy. Images are [N, H, W, C], convolution weights [K, R,
/// S, C].
class Tensor {
 public:
  /// An undefined tensor.
  Tensor() = default;

  bool defined() const { return impl_ != nullptr; }
  DType dtype() const { return impl().dtype; }
  Device device() const { return impl().device; }
  const Shape& shape() const { return impl().shape; }
  int64_t size() const { return impl().shape.size(); }
  int64_t dim(int i) const { return impl().shape.dim(i); }
  int64_t bytes() const { return size() * size_bytes(dtype()); }

  /// Device pointer to the first element. The typed form throws Error unless T is the element type.
  void* data() const { return impl().data; }
  template <class T>
  T* data() const {
    check_dtype(dtype_of<T>);
    return static_cast<T*>(impl().data);
  }
  /// The elements as a span. The tensor must be on the CPU.
  template <class T>
  std::span<T> span() const {
    check_cpu();
    return {data<T>(), static_cast<size_t>(size())};
  }
  /// The first element as a double, from any device.
  double item() const;
  /// All elements as floats, from any device. Also converts u8, i32 and i64.
  std::vector<float> to_vector() const;

  /// A view of `shape.size()` elements, starting at element `offset`.
  Tensor slice(int64_t offset, Shape shape) const;
  /// The same memory, without autograd history.
  Tensor detached() const;
  /// A copy on `device`.
  Tensor to(Device device) const;
  Tensor clone() const { return to(device()); }
  /// Copies the contents of a tensor with the same shape and dtype, from any device.
  void copy_from(const Tensor& source) const;
  /// Copies host floats, converted to the tensor's dtype.
  void copy_from(std::span<const float> values) const;

  bool requires_grad() const;
  /// Makes this a leaf that collects its gradient, or not.
  void set_requires_grad(bool wanted);
  /// The gradient of a leaf after backward(); undefined before it.
  Tensor grad() const;
  /// Sets the tensor that backward() writes a leaf's gradient into. Its dtype may differ from the leaf's.
  void set_grad_buffer(Tensor buffer);
  /// Discards the gradient: the next backward() overwrites it instead of adding to it.
  void zero_grad();
  /// The autograd data shared by all handles of this tensor; null if there is none.
  std::shared_ptr<AutogradMeta> autograd() const { return defined() ? impl_->autograd : nullptr; }
  AutogradMeta& ensure_autograd();
  /// Makes this tensor the result of a recorded operation.
  void set_autograd(std::shared_ptr<AutogradMeta> meta);

 private:
  friend Tensor empty(Shape shape, DType dtype, Device device);
  struct Storage;
  struct Impl {
    std::shared_ptr<Storage> storage;
    void* data = nullptr;
    Shape shape;
    DType dtype = DType::f32;
    Device device;
    std::shared_ptr<AutogradMeta> autograd;
  };

  const Impl& impl() const {
    if (impl_ == nullptr) {
      fail("use of an undefined tensor");
    }
    return *impl_;
  }
  void check_dtype(DType wanted) const;
  void check_cpu() const;

  std::shared_ptr<Impl> impl_;
};

/// The autograd data of a tensor. A leaf has only this; core/autograd/tape.h adds the operation for a result.
struct AutogradMeta {
  AutogradMeta() = default;
  virtual ~AutogradMeta() = default;
  AutogradMeta(const AutogradMeta&) = delete;
  AutogradMeta& operator=(const AutogradMeta&) = delete;
  /// The name of the operation that made the tensor; null for a leaf.
  virtual const char* operation() const { return nullptr; }

  bool requires_grad = false;
  bool has_gradient = false;  // `gradient` holds a value, not just memory
  Tensor gradient;
};

/// Makes a tensor with uninitialized memory.
Tensor empty(Shape shape, DType dtype, Device device = {});
Tensor empty_like(const Tensor& other);
Tensor zeros(Shape shape, DType dtype, Device device = {});
Tensor full(Shape shape, float value, DType dtype, Device device = {});
/// Makes a tensor from host values, converted to `dtype`.
Tensor from_values(Shape shape, std::span<const float> values, DType dtype = DType::f32, Device device = {});

}  // namespace residua
