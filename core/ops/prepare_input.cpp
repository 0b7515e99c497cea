#include "core/ops/prepare_input.h"

#include "core/kernels/prepare_input.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {

Tensor mean_tensor(const std::vector<float>& mean, int64_t size, Device device) {
  return from_values(mean.size() == 3 ? Shape{3} : Shape{size, size, 3}, mean, DType::f32, device);
}

Tensor prepare_input(const Tensor& source, const Tensor& top, const Tensor& left, const Tensor& flip, const Tensor& color_shift,
                     const InputFormat& format) {
  const ArgumentCheck check("prepare_input");
  check.rank("source", source, 4);
  check.dtype("source", source, DType::u8);
  const Device device = source.device();
  const int64_t batch = source.dim(0), height = source.dim(1), width = source.dim(2), channels = source.dim(3);
  check.exactly("top", top, {batch}, DType::i32, device);
  check.exactly("left", left, {batch}, DType::i32, device);
  check.exactly("flip", flip, {batch}, DType::u8, device);
  if (color_shift.defined()) {
    check.exactly("color_shift", color_shift, {batch, channels}, DType::f32, device);
  }
  const bool per_pixel = format.mean.defined() && format.mean.shape().rank() == 3;
  check.exactly("mean", format.mean, per_pixel ? Shape{height, width, channels} : Shape{channels}, DType::f32, device);
  check.exactly("inverse_std", format.inverse_std, {channels}, DType::f32, device);
  check.range("height", format.height, 1, 1 << 20);
  check.range("width", format.width, 1, 1 << 20);
  check.range("channels", format.channels, channels, 1 << 20);

  const Tensor y = empty({batch, format.height, format.width, format.channels}, format.dtype, device);
  check.floating("y", y);
  run(device, PrepareInput{format.dtype, batch, height, width, channels, format.height, format.width, format.channels,
                           source.data<uint8_t>(), top.data<int32_t>(), left.data<int32_t>(), flip.data<uint8_t>(),
                           color_shift.defined() ? color_shift.data<float>() : nullptr, format.mean.data<float>(),
                           per_pixel ? 1 : 0, format.inverse_std.data<float>(), y.data()});
  return y;
}

}  // namespace residua
