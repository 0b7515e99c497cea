#include "core/ops/augment_input.h"

#include "core/kernels/augment_input.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {

static_assert(sizeof(AugmentImage) == kAugmentImageFields * sizeof(int64_t));

Tensor augment_input(const Tensor& source, const Tensor& images, const Tensor& color_shift, const InputFormat& format) {
  const ArgumentCheck check("augment_input");
  check.rank("source", source, 1);
  check.dtype("source", source, DType::u8);
  const Device device = source.device();
  check.rank("images", images, 2);
  const int64_t batch = images.dim(0);
  check.exactly("images", images, {batch, kAugmentImageFields}, DType::i64, device);
  if (color_shift.defined()) {
    check.exactly("color_shift", color_shift, {batch, 3}, DType::f32, device);
  }
  check.range("height", format.height, 1, 1 << 20);
  check.range("width", format.width, 1, 1 << 20);
  check.range("channels", format.channels, 3, 1 << 20);
  const bool per_pixel = format.mean.defined() && format.mean.shape().rank() == 3;
  check.exactly("mean", format.mean, per_pixel ? Shape{format.height, format.width, 3} : Shape{3}, DType::f32, device);
  check.exactly("inverse_std", format.inverse_std, {3}, DType::f32, device);

  const Tensor y = empty({batch, format.height, format.width, format.channels}, format.dtype, device);
  check.floating("y", y);
  run(device, AugmentInput{.dtype = format.dtype,
                           .batch = batch,
                           .height = format.height,
                           .width = format.width,
                           .channels = format.channels,
                           .source = source.data<uint8_t>(),
                           .images = reinterpret_cast<const AugmentImage*>(images.data<int64_t>()),
                           .color_shift = color_shift.defined() ? color_shift.data<float>() : nullptr,
                           .mean = format.mean.data<float>(),
                           .per_pixel_mean = per_pixel ? 1 : 0,
                           .inverse_std = format.inverse_std.data<float>(),
                           .y = y.data()});
  return y;
}

}  // namespace residua
