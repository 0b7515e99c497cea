#include "core/tensor/tensor.h"

#include <algorithm>
#include <vector>

#include "core/device/device_api.h"
#include "core/kernels/fill.h"
#include "core/kernels/run.h"

namespace residua {
namespace {

template <class F>
void visit(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: f.template operator()<float>(); return;
    case DType::f16: f.template operator()<f16>(); return;
    case DType::bf16: f.template operator()<bf16>(); return;
    case DType::u8: f.template operator()<uint8_t>(); return;
    case DType::i32: f.template operator()<int32_t>(); return;
    case DType::i64: f.template operator()<int64_t>(); return;
  }
}

}  // namespace

struct Tensor::Storage {
  Storage(Device where, int64_t bytes) : device(where), data(device_api::allocate(where, bytes)) {}
  ~Storage() { device_api::free(device, data); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device device;
  void* data;
};

Tensor empty(Shape shape, DType dtype, Device device) {
  const int64_t bytes = checked_multiply(shape.size(), size_bytes(dtype));
  Tensor tensor;
  tensor.impl_ = std::make_shared<Tensor::Impl>();
  tensor.impl_->storage = std::make_shared<Tensor::Storage>(device, bytes);
  tensor.impl_->data = tensor.impl_->storage->data;
  tensor.impl_->shape = shape;
  tensor.impl_->dtype = dtype;
  tensor.impl_->device = device;
  return tensor;
}

Tensor empty_like(const Tensor& other) { return empty(other.shape(), other.dtype(), other.device()); }

Tensor zeros(Shape shape, DType dtype, Device device) { return full(shape, 0.0f, dtype, device); }

Tensor full(Shape shape, float value, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  if (is_floating(dtype)) {
    run(device, Fill{.dtype = dtype, .size = tensor.size(), .value = value, .x = tensor.data()});
  } else {
    tensor.copy_from(std::vector<float>(static_cast<size_t>(tensor.size()), value));
  }
  return tensor;
}

Tensor from_values(Shape shape, std::span<const float> values, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  tensor.copy_from(values);
  return tensor;
}

double Tensor::item() const {
  if (size() < 1) {
    fail("item() needs at least one element, got a tensor of shape {}", shape().string());
  }
  const Tensor first = slice(0, Shape{}).to(Device{});
  double value = 0;
  visit(dtype(), [&]<class T>() {
    if constexpr (std::is_arithmetic_v<T>) {
      value = static_cast<double>(*first.data<T>());
    } else {
      value = static_cast<double>(to_float(*first.data<T>()));
    }
  });
  return value;
}

std::vector<float> Tensor::to_vector() const {
  const Tensor host = to(Device{});
  std::vector<float> values(static_cast<size_t>(size()));
  visit(dtype(), [&]<class T>() {
    std::ranges::transform(host.span<T>(), values.begin(), [](T value) {
      if constexpr (std::is_arithmetic_v<T>) {
        return static_cast<float>(value);
      } else {
        return to_float(value);
      }
    });
  });
  return values;
}

Tensor Tensor::slice(int64_t offset, Shape shape) const {
  if (offset < 0 || offset > size() || shape.size() > size() - offset) {
    fail("a slice of shape {} at element {} does not fit into a tensor of shape {}", shape.string(), offset,
         this->shape().string());
  }
  Tensor view = detached();
  view.impl_->shape = shape;
  view.impl_->data = static_cast<std::byte*>(impl().data) + offset * size_bytes(dtype());
  return view;
}

Tensor Tensor::detached() const {
  Tensor view;
  view.impl_ = std::make_shared<Impl>(impl());
  view.impl_->autograd = nullptr;
  return view;
}

Tensor Tensor::to(Device device) const {
  Tensor copy = empty(shape(), dtype(), device);
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& source) const {
  if (source.shape() != shape() || source.dtype() != dtype()) {
    fail("cannot copy a {} tensor of shape {} into a {} tensor of shape {}", name(source.dtype()), source.shape().string(),
         name(dtype()), shape().string());
  }
  device_api::copy(device(), data(), source.device(), source.data(), bytes());
}

void Tensor::copy_from(std::span<const float> values) const {
  if (static_cast<int64_t>(values.size()) != size()) {
    fail("got {} values for a tensor of shape {}", values.size(), shape().string());
  }
  const Tensor host = device().type == Device::Type::cpu ? *this : empty(shape(), dtype(), Device{});
  visit(dtype(), [&]<class T>() {
    std::ranges::transform(values, host.data<T>(), [](float value) {
      if constexpr (std::is_integral_v<T>) {
        return static_cast<T>(value);
      } else {
        return from_float<T>(value);
      }
    });
  });
  if (device().type != Device::Type::cpu) {
    copy_from(host);
  }
}

bool Tensor::requires_grad() const {
  const auto meta = autograd();
  return meta != nullptr && (meta->requires_grad || meta->operation() != nullptr);
}

void Tensor::set_requires_grad(bool wanted) {
  if (wanted && !is_floating(dtype())) {
    fail("a {} tensor cannot have a gradient", name(dtype()));
  }
  if (AutogradMeta& meta = ensure_autograd(); meta.operation() != nullptr) {
    fail("requires_grad can only be set on a leaf, but this tensor is the result of {}", meta.operation());
  } else {
    meta.requires_grad = wanted;
  }
}

Tensor Tensor::grad() const {
  const auto meta = autograd();
  return meta != nullptr && meta->has_gradient ? meta->gradient : Tensor();
}

void Tensor::set_grad_buffer(Tensor buffer) {
  if (buffer.size() != size()) {
    fail("a gradient buffer of shape {} does not fit a tensor of shape {}", buffer.shape().string(), shape().string());
  }
  AutogradMeta& meta = ensure_autograd();
  meta.gradient = std::move(buffer);
  meta.has_gradient = false;
}

void Tensor::zero_grad() {
  if (const auto meta = autograd()) {
    meta->has_gradient = false;
  }
}

AutogradMeta& Tensor::ensure_autograd() {
  static_cast<void>(impl());
  if (impl_->autograd == nullptr) {
    impl_->autograd = std::make_shared<AutogradMeta>();
  }
  return *impl_->autograd;
}

void Tensor::set_autograd(std::shared_ptr<AutogradMeta> meta) {
  static_cast<void>(impl());
  impl_->autograd = std::move(meta);
}

void Tensor::check_dtype(DType wanted) const {
  if (dtype() != wanted) {
    fail("a {} tensor was read as {}", name(dtype()), name(wanted));
  }
}

void Tensor::check_cpu() const {
  if (device().type != Device::Type::cpu) {
    fail("the elements of a tensor on {} were read on the host; copy it with to(Device{{}}) first", device().string());
  }
}

}  // namespace residua
