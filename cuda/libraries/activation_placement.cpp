// Times all passes of a convolution with its input activation fused into them, and with the activation before them.
#include <algorithm>
#include <optional>
#include <random>

#include "core/device/autotune.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/cast.h"
#include "core/kernels/fill.h"
#include "cuda/libraries/convolution.h"
#include "cuda/libraries/library_device.h"

namespace residua::cuda {
namespace {

using device_api::Workspace;

/// Fills memory with random values in [-1, 1], because a device computes faster on zeros. The values repeat after a while.
void fill_random(DType dtype, void* memory, int64_t size, Stream& stream) {
  const Device device = stream.device();
  std::vector<float> drawn(static_cast<size_t>(std::min<int64_t>(size, 1 << 18)));
  std::minstd_rand random;
  std::ranges::generate(drawn, [&] { return std::uniform_real_distribution<float>(-1, 1)(random); });
  auto filled = static_cast<int64_t>(drawn.size());
  const Workspace values(device, filled * int64_t{sizeof(float)});
  device_api::copy(device, values.data(), Device{}, drawn.data(), filled * int64_t{sizeof(float)});
  run(Cast{DType::f32, dtype, filled, values.data(), memory}, stream);
  const int64_t each = size_bytes(dtype);
  for (; filled < size; filled *= 2) {
    device_api::copy(device, static_cast<unsigned char*>(memory) + filled * each, device, memory,
                     std::min(filled, size - filled) * each);
  }
}

/// The passes of one convolution, with memory of their own.
class Passes {
 public:
  Passes(DType dtype, const ConvolutionShape& shape, Stream& stream)
      : dtype_(dtype),
        shape_(shape),
        rows_(shape.batch * shape.in_height * shape.in_width),
        x_(stream.device(), bytes(rows_ * shape.in_channels)),
        activated_(stream.device(), bytes(rows_ * shape.in_channels)),
        mask_(stream.device(), bytes(rows_ * shape.in_channels / 8 + 1)),
        w_(stream.device(), bytes(weights())),
        dw_(stream.device(), bytes(weights())),
        y_(stream.device(), bytes(shape.batch * shape.out_height() * shape.out_width() * shape.out_channels)),
        vectors_(stream.device(), 9 * vector() * int64_t{sizeof(float)}) {
    fill_random(dtype, x_.data(), rows_ * shape.in_channels, stream);
    fill_random(dtype, w_.data(), weights(), stream);
    run(Fill{DType::f32, 9 * vector(), 0.5f, vectors_.data()}, stream);
  }

  void activated_before(Stream& stream) const {
    run(BatchNormApply{dtype_, rows_, rows_, shape_.in_channels, x_.data(), nullptr, at(0), at(1), at(2), at(3),
                       Activation::relu, activated_.data(), mask()},
        stream);
    passes(activated_.data(), kNoInputActivation, mask(), stream);
  }
  void activated_inside(Stream& stream) const { passes(x_.data(), {at(0), at(1), at(2), at(3)}, nullptr, stream); }

 private:
  int64_t bytes(int64_t elements) const { return elements * size_bytes(dtype_); }
  int64_t weights() const { return shape_.out_channels * shape_.kernel_height * shape_.kernel_width * shape_.in_channels; }
  int64_t vector() const { return std::max(shape_.in_channels, shape_.out_channels); }
  float* at(int i) const { return static_cast<float*>(vectors_.data()) + i * vector(); }
  uint8_t* mask() const { return static_cast<uint8_t*>(mask_.data()); }

  void passes(const void* x, const InputActivation& activation, const uint8_t* mask, Stream& stream) const {
    const OutputStatistics statistics{1, at(4), at(5), at(6)};
    run(ConvolutionForward{dtype_, shape_, x, w_.data(), y_.data(), activation, statistics}, stream);
    run(ConvolutionBackwardWeights{dtype_, dtype_, shape_, x, y_.data(), dw_.data(), activation}, stream);
    const GradientSums sums{x_.data(), mask, at(0), at(1), at(2), at(3), at(7), at(8)};
    run(ConvolutionBackwardData{dtype_, shape_, y_.data(), w_.data(), activated_.data(), sums}, stream);
  }

  DType dtype_;
  ConvolutionShape shape_;
  int64_t rows_;
  Workspace x_, activated_, mask_, w_, dw_, y_, vectors_;  // dy shares y's memory, and dx that of the activation
};

constexpr const char* kInside = "inside";

std::string work_of(const ConvolutionKey& key) { return "activation of " + key.string(); }

bool measure(const ActivationPlacement& args, const ConvolutionKey& key, LibraryDevice& device, Stream& stream) {
  for (const ConvolutionForm form :
       {ConvolutionForm::activated_forward_statistics, ConvolutionForm::activated_backward_weights}) {
    if (ConvolutionGraph({form, args.dtype, args.shape}, CudnnDevice(device.cudnn()), device.plan_options()).plans().empty()) {
      return false;
    }
  }
  // Created once there is something to time.
  const auto passes = std::make_shared<std::optional<Passes>>();
  const auto candidate = [&](const char* name, void (Passes::*passes_of)(Stream&) const,
                             bool inside) -> Candidate<ActivationPlacement> {
    return {name, [=] {
              return [=](const ActivationPlacement& call, Stream& on) {
                if (!passes->has_value()) {
                  passes->emplace(call.dtype, call.shape, on);
                }
                ((**passes).*passes_of)(on);
                *call.inside = inside;
              };
            }};
  };
  const std::string work = work_of(key);
  return autotuned_or(false, work, [&] {
    device
        .choose_plan<ActivationPlacement>(
            work, {candidate("before", &Passes::activated_before, false), candidate(kInside, &Passes::activated_inside, true)},
            args, stream)
        .plan(args, stream);
    return *args.inside;
  });
}

}  // namespace

void run(const ActivationPlacement& args, Stream& stream) {
  LibraryDevice& device = library_device(stream);
  if (device.plan_options().by_rule) {
    *args.inside = false;
    return;
  }
  const ConvolutionKey key{ConvolutionForm::forward, args.dtype, args.shape};
  auto found = device.activation_inside.find(key);
  if (found == device.activation_inside.end()) {
    if (!autotune_allowed()) {
      const std::optional<Choice> known = device.known(work_of(key));
      *args.inside = known && known->name == kInside;
      return;
    }
    found = device.activation_inside.emplace(key, measure(args, key, device, stream)).first;
  }
  *args.inside = found->second;
}

}  // namespace residua::cuda
