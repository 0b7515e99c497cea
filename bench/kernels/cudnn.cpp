// cuDNN's own operations through its legacy API, which has one call for each.
#include "bench/kernels/cudnn.h"

#include <cudnn.h>
#include <fmt/format.h>

#include <memory>
#include <type_traits>

#include "cuda/libraries/library_device.h"
#include "cuda/libraries/library_errors.h"
#include "cuda/runtime/context.h"

namespace residua::bench {
namespace {

/// An opaque cuDNN object, destroyed with its last user.
template <class Handle>
std::shared_ptr<std::remove_pointer_t<Handle>> make(cudnnStatus_t (*create)(Handle*), cudnnStatus_t (*destroy)(Handle)) {
  Handle handle = nullptr;
  RESIDUA_CUDNN_CHECK(create(&handle));
  return {handle, destroy};
}

using TensorDescriptor = std::shared_ptr<std::remove_pointer_t<cudnnTensorDescriptor_t>>;

cudnnHandle_t handle_of(Device device) { return cuda::library_device(cuda::context(device.index).compute()).cudnn(); }

cudnnDataType_t type_of(DType dtype) {
  return dtype == DType::f16 ? CUDNN_DATA_HALF : dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

TensorDescriptor nhwc(cudnnDataType_t type, int64_t n, int64_t h, int64_t w, int64_t c) {
  auto descriptor = make(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
  RESIDUA_CUDNN_CHECK(cudnnSetTensor4dDescriptor(descriptor.get(), CUDNN_TENSOR_NHWC, type, static_cast<int>(n),
                                                 static_cast<int>(c), static_cast<int>(h), static_cast<int>(w)));
  return descriptor;
}

TensorDescriptor nhwc(DType dtype, const Shape& shape) { return nhwc(type_of(dtype), shape[0], shape[1], shape[2], shape[3]); }

using ActivationDescriptor = std::shared_ptr<std::remove_pointer_t<cudnnActivationDescriptor_t>>;

ActivationDescriptor relu() {
  auto descriptor = make(cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor);
  RESIDUA_CUDNN_CHECK(cudnnSetActivationDescriptor(descriptor.get(), CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0));
  return descriptor;
}

constexpr float kOne = 1.0f;
constexpr float kZero = 0.0f;
constexpr double kEpsilon = 1e-5;
constexpr cudnnBatchNormMode_t kMode = CUDNN_BATCHNORM_SPATIAL_PERSISTENT;

/// A batch normalization's descriptors.
struct Normalization {
  Normalization(DType dtype, NormalizationForm form, const Shape& shape)
      : ops(form == NormalizationForm::plain  ? CUDNN_BATCHNORM_OPS_BN
            : form == NormalizationForm::relu ? CUDNN_BATCHNORM_OPS_BN_ACTIVATION
                                              : CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION),
        x(nhwc(dtype, shape)),
        parameters(nhwc(CUDNN_DATA_FLOAT, 1, 1, 1, shape[3])),
        activation(relu()) {}

  cudnnBatchNormOps_t ops;
  TensorDescriptor x, parameters;
  ActivationDescriptor activation;
};

/// A maker that returns no work on the CPU device.
template <class Make>
Maker on_gpu(const Make& make_work) {
  return [make_work](Operands& o) { return o.device().type == Device::Type::cpu ? Work() : make_work(o); };
}

/// The work of a cuDNN call; none if cuDNN does not support it.
template <class Call>
Work if_supported(const Call& call) {
  if (call() != CUDNN_STATUS_SUCCESS) {
    return {};
  }
  return [call] { RESIDUA_CUDNN_CHECK(call()); };
}

Work forward(Operands& o, NormalizationForm form, const Shape& shape) {
  const Normalization n(o.dtype(), form, shape);
  const int64_t size = shape.size();
  const int64_t channels = shape[3];
  const cudnnHandle_t handle = handle_of(o.device());
  const bool added = form == NormalizationForm::add_relu;
  size_t workspace_bytes = 0;
  size_t reserve_bytes = 0;
  if (cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(handle, kMode, n.ops, n.x.get(), added ? n.x.get() : nullptr,
                                                               n.x.get(), n.parameters.get(), n.activation.get(),
                                                               &workspace_bytes) != CUDNN_STATUS_SUCCESS ||
      cudnnGetBatchNormalizationTrainingExReserveSpaceSize(handle, kMode, n.ops, n.activation.get(), n.x.get(),
                                                           &reserve_bytes) != CUDNN_STATUS_SUCCESS) {
    return {};
  }
  void* workspace = o.zeroed(static_cast<int64_t>(workspace_bytes));
  void* reserve = o.zeroed(static_cast<int64_t>(reserve_bytes));
  const void* x = o.read(size);
  const void* z = added ? o.read(size) : nullptr;
  void* y = o.written(size);
  const float* scale = o.read<float>(channels, 0.5, 1.5);
  const float* bias = o.read<float>(channels, -0.5, 0.5);
  float* mean = o.written<float>(channels);
  float* rstd = o.written<float>(channels);
  return if_supported([=] {
    return cudnnBatchNormalizationForwardTrainingEx(handle, kMode, n.ops, &kOne, &kZero, n.x.get(), x,
                                                    z != nullptr ? n.x.get() : nullptr, z, n.x.get(), y, n.parameters.get(),
                                                    scale, bias, 0.0, nullptr, nullptr, kEpsilon, mean, rstd,
                                                    n.activation.get(), workspace, workspace_bytes, reserve, reserve_bytes);
  });
}

Work backward(Operands& o, NormalizationForm form, const Shape& shape) {
  const Normalization n(o.dtype(), form, shape);
  const int64_t size = shape.size();
  const int64_t channels = shape[3];
  const cudnnHandle_t handle = handle_of(o.device());
  const bool added = form == NormalizationForm::add_relu;
  const bool activated = form != NormalizationForm::plain;
  cudnnTensorDescriptor_t const y_descriptor = activated ? n.x.get() : nullptr;
  cudnnTensorDescriptor_t const z_descriptor = added ? n.x.get() : nullptr;
  size_t workspace_bytes = 0;
  size_t reserve_bytes = 0;
  if (cudnnGetBatchNormalizationBackwardExWorkspaceSize(handle, kMode, n.ops, n.x.get(), y_descriptor, n.x.get(), z_descriptor,
                                                        n.x.get(), n.parameters.get(), n.activation.get(),
                                                        &workspace_bytes) != CUDNN_STATUS_SUCCESS ||
      cudnnGetBatchNormalizationTrainingExReserveSpaceSize(handle, kMode, n.ops, n.activation.get(), n.x.get(),
                                                           &reserve_bytes) != CUDNN_STATUS_SUCCESS) {
    return {};
  }
  void* workspace = o.zeroed(static_cast<int64_t>(workspace_bytes));
  void* reserve = o.zeroed(static_cast<int64_t>(reserve_bytes));
  const void* x = o.read(size);
  const void* y = activated ? o.read(size) : nullptr;
  const void* dy = o.read(size);
  void* dx = o.written(size);
  void* dz = added ? o.written(size) : nullptr;
  const float* scale = o.read<float>(channels, 0.5, 1.5);
  const float* bias = o.read<float>(channels, -0.5, 0.5);
  const float* mean = o.read<float>(channels, -0.1, 0.1);
  const float* rstd = o.read<float>(channels, 0.5, 1.5);
  float* dscale = o.written<float>(channels);
  float* dbias = o.written<float>(channels);
  return if_supported([=] {
    return cudnnBatchNormalizationBackwardEx(handle, kMode, n.ops, &kOne, &kZero, &kOne, &kZero, n.x.get(), x, y_descriptor, y,
                                             n.x.get(), dy, z_descriptor, dz, n.x.get(), dx, n.parameters.get(), scale, bias,
                                             dscale, dbias, kEpsilon, mean, rstd, n.activation.get(), workspace,
                                             workspace_bytes, reserve, reserve_bytes);
  });
}

/// The bits of 1 in a tensor's type, for cudnnSetTensor.
uint32_t bits_of_one(DType dtype) { return dtype == DType::f16 ? 0x3c00 : dtype == DType::bf16 ? 0x3f80 : 0x3f800000; }

}  // namespace

Maker cudnn_batch_norm(Pass pass, NormalizationForm form, const Shape& shape) {
  return on_gpu([=](Operands& o) { return pass == Pass::forward ? forward(o, form, shape) : backward(o, form, shape); });
}

Maker cudnn_batch_norm_apply(const Shape& shape) {
  return on_gpu([=](Operands& o) {
    const Normalization n(o.dtype(), NormalizationForm::plain, shape);
    const int64_t channels = shape[3];
    const cudnnHandle_t handle = handle_of(o.device());
    const void* x = o.read(shape.size());
    void* y = o.written(shape.size());
    const float* scale = o.read<float>(channels, 0.5, 1.5);
    const float* bias = o.read<float>(channels, -0.5, 0.5);
    const float* mean = o.read<float>(channels, -0.1, 0.1);
    const float* variance = o.read<float>(channels, 0.5, 1.5);
    return if_supported([=] {
      return cudnnBatchNormalizationForwardInference(handle, CUDNN_BATCHNORM_SPATIAL, &kOne, &kZero, n.x.get(), x, n.x.get(), y,
                                                     n.parameters.get(), scale, bias, mean, variance, kEpsilon);
    });
  });
}

Maker cudnn_relu(Pass pass, const Shape& shape) {
  return on_gpu([=](Operands& o) {
    const ActivationDescriptor descriptor = relu();
    const TensorDescriptor tensor = nhwc(o.dtype(), shape);
    const cudnnHandle_t handle = handle_of(o.device());
    if (pass == Pass::forward) {
      const void* x = o.read(shape.size());
      void* y = o.written(shape.size());
      return if_supported(
          [=] { return cudnnActivationForward(handle, descriptor.get(), &kOne, tensor.get(), x, &kZero, tensor.get(), y); });
    }
    const void* y = o.read(shape.size());
    const void* dy = o.read(shape.size());
    void* dx = o.written(shape.size());
    return if_supported([=] {  // pass y as x, as after an in-place forward pass, so that cuDNN reads no extra tensor
      return cudnnActivationBackward(handle, descriptor.get(), &kOne, tensor.get(), y, tensor.get(), dy, tensor.get(), y,
                                     &kZero, tensor.get(), dx);
    });
  });
}

Maker cudnn_add(const Shape& shape) {
  return on_gpu([=](Operands& o) {
    const auto descriptor = make(cudnnCreateOpTensorDescriptor, cudnnDestroyOpTensorDescriptor);
    RESIDUA_CUDNN_CHECK(
        cudnnSetOpTensorDescriptor(descriptor.get(), CUDNN_OP_TENSOR_ADD, CUDNN_DATA_FLOAT, CUDNN_PROPAGATE_NAN));
    const TensorDescriptor tensor = nhwc(o.dtype(), shape);
    const cudnnHandle_t handle = handle_of(o.device());
    const void* a = o.read(shape.size());
    const void* b = o.read(shape.size());
    void* y = o.written(shape.size());
    return if_supported([=] {
      return cudnnOpTensor(handle, descriptor.get(), &kOne, tensor.get(), a, &kOne, tensor.get(), b, &kZero, tensor.get(), y);
    });
  });
}

Maker cudnn_fill(const Shape& shape) {
  return on_gpu([=](Operands& o) {
    const TensorDescriptor tensor = nhwc(o.dtype(), shape);
    const uint32_t one = bits_of_one(o.dtype());
    const cudnnHandle_t handle = handle_of(o.device());
    void* y = o.written(shape.size());
    return if_supported([=] { return cudnnSetTensor(handle, tensor.get(), y, &one); });
  });
}

Maker cudnn_column_sum(int64_t rows, int64_t columns) {
  return on_gpu([=](Operands& o) -> Work {
    const auto descriptor = make(cudnnCreateReduceTensorDescriptor, cudnnDestroyReduceTensorDescriptor);
    RESIDUA_CUDNN_CHECK(cudnnSetReduceTensorDescriptor(descriptor.get(), CUDNN_REDUCE_TENSOR_ADD, CUDNN_DATA_FLOAT,
                                                       CUDNN_PROPAGATE_NAN, CUDNN_REDUCE_TENSOR_NO_INDICES,
                                                       CUDNN_32BIT_INDICES));
    const TensorDescriptor x_tensor = nhwc(type_of(o.dtype()), rows, 1, 1, columns);
    const TensorDescriptor y_tensor = nhwc(CUDNN_DATA_FLOAT, 1, 1, 1, columns);
    const cudnnHandle_t handle = handle_of(o.device());
    size_t workspace_bytes = 0;
    if (cudnnGetReductionWorkspaceSize(handle, descriptor.get(), x_tensor.get(), y_tensor.get(), &workspace_bytes) !=
        CUDNN_STATUS_SUCCESS) {
      return {};
    }
    void* workspace = o.zeroed(static_cast<int64_t>(workspace_bytes));
    const void* x = o.read(rows * columns);
    auto* y = o.written<float>(columns);
    return if_supported([=] {
      return cudnnReduceTensor(handle, descriptor.get(), nullptr, 0, workspace, workspace_bytes, &kOne, x_tensor.get(), x,
                               &kZero, y_tensor.get(), y);
    });
  });
}

Maker cudnn_pool(Pass pass, Pool pool, const PoolShape& s) {
  return on_gpu([=](Operands& o) {
    const auto descriptor = make(cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor);
    const auto window = static_cast<int>(s.window);
    const auto padding = static_cast<int>(s.padding);
    const auto stride = static_cast<int>(s.stride);
    RESIDUA_CUDNN_CHECK(cudnnSetPooling2dDescriptor(
        descriptor.get(), pool == Pool::max ? CUDNN_POOLING_MAX_DETERMINISTIC : CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING,
        CUDNN_PROPAGATE_NAN, window, window, padding, padding, stride, stride));
    const auto x_descriptor = nhwc(type_of(o.dtype()), s.batch, s.in_height, s.in_width, s.channels);
    const auto y_descriptor = nhwc(type_of(o.dtype()), s.batch, s.out_height(), s.out_width(), s.channels);
    const int64_t x_size = s.batch * s.in_height * s.in_width * s.channels;
    const int64_t y_size = s.batch * s.out_height() * s.out_width() * s.channels;
    const cudnnHandle_t handle = handle_of(o.device());
    const void* x = o.read(x_size);
    if (pass == Pass::forward) {
      void* y = o.written(y_size);
      return if_supported([=] {
        return cudnnPoolingForward(handle, descriptor.get(), &kOne, x_descriptor.get(), x, &kZero, y_descriptor.get(), y);
      });
    }
    const void* y = o.read(y_size);
    const void* dy = o.read(y_size);
    void* dx = o.written(x_size);
    return if_supported([=] {
      return cudnnPoolingBackward(handle, descriptor.get(), &kOne, y_descriptor.get(), y, y_descriptor.get(), dy,
                                  x_descriptor.get(), x, &kZero, x_descriptor.get(), dx);
    });
  });
}

std::string cudnn_version() {
  const size_t version = cudnnGetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

}  // namespace residua::bench
