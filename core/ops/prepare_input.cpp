#include "core/ops/prepare_input.h"

#include <algorithm>

#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {
namespace {

constexpr int64_t kViewBytes = sizeof(SampleView);

}  // namespace

Tensor mean_tensor(const std::vector<float>& mean, int64_t size, Device device) {
  return from_values(mean.size() == 3 ? Shape{3} : Shape{size, size, 3}, mean, DType::f32, device);
}

Tensor view_tensor(std::span<const SampleView> views, Device device) {
  const Tensor tensor = empty({static_cast<int64_t>(views.size()), kViewBytes}, DType::u8);
  std::ranges::copy(views, views_in(tensor).begin());
  return device.type == Device::Type::cpu ? tensor : tensor.to(device);
}

std::span<SampleView> views_in(const Tensor& views) {
  const std::span<uint8_t> bytes = views.span<uint8_t>();
  return {reinterpret_cast<SampleView*>(bytes.data()), bytes.size() / sizeof(SampleView)};
}

Tensor prepare_input(const Tensor& source, const Tensor& views, const InputFormat& format) {
  const ArgumentCheck check("prepare_input");
  check.rank("source", source, 4);
  check.dtype("source", source, DType::u8);
  const Device device = source.device();
  const int64_t batch = source.dim(0), height = source.dim(1), width = source.dim(2), channels = source.dim(3);
  check.exactly("views", views, {batch, kViewBytes}, DType::u8, device);
  const bool per_pixel = format.mean.defined() && format.mean.shape().rank() == 3;
  check.exactly("mean", format.mean, per_pixel ? Shape{height, width, channels} : Shape{channels}, DType::f32, device);
  check.exactly("inverse_std", format.inverse_std, {channels}, DType::f32, device);
  check.range("height", format.height, 1, 1 << 20);
  check.range("width", format.width, 1, 1 << 20);
  check.range("channels", format.channels, channels, 1 << 20);

  const Tensor y = empty({batch, format.height, format.width, format.channels}, format.dtype, device);
  check.floating("y", y);
  run(device, PrepareInput{.dtype = format.dtype,
                           .batch = batch,
                           .in_height = height,
                           .in_width = width,
                           .in_channels = channels,
                           .height = format.height,
                           .width = format.width,
                           .channels = format.channels,
                           .source = source.data<uint8_t>(),
                           .views = static_cast<const SampleView*>(views.data()),
                           .mean = format.mean.data<float>(),
                           .per_pixel_mean = per_pixel ? 1 : 0,
                           .inverse_std = format.inverse_std.data<float>(),
                           .y = y.data()});
  return y;
}

}  // namespace residua
