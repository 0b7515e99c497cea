// Convolutions and matrix products, which are compute-bound and run in the vendors' libraries.
#include <fmt/format.h>

#include <algorithm>

#include "bench/kernels/kernel_case.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/convolution.h"
#include "core/kernels/matmul.h"
#include "core/nn/summary.h"
#include "models/resnet.h"

namespace residua::bench {
namespace {

InputActivation input_activation(Operands& o, int64_t channels) {
  const auto parameter = [&] { return o.read<float>(channels, 0.5, 1.5); };
  return {.gamma = parameter(), .beta = parameter(), .mean = parameter(), .rstd = parameter()};
}

OutputStatistics output_statistics(Operands& o, int64_t channels) {
  return {.epsilon = 1e-5f,
          .mean = o.written<float>(channels),
          .variance = o.written<float>(channels),
          .rstd = o.written<float>(channels)};
}

GradientSums gradient_sums(Operands& o, int64_t rows, int64_t channels) {
  const auto parameter = [&] { return o.read<float>(channels, 0.5, 1.5); };
  return {.x = o.read(rows * channels),
          .mask = o.read<uint8_t>((rows * channels + 7) / 8, 0, 255),
          .gamma = parameter(),
          .beta = parameter(),
          .mean = parameter(),
          .rstd = parameter(),
          .sum_g = o.written<float>(channels),
          .sum_g_xhat = o.written<float>(channels)};
}

BatchNormStatistics statistics_of(Operands& o, const void* y, int64_t rows, int64_t channels) {
  const OutputStatistics to = output_statistics(o, channels);
  return {.dtype = o.dtype(),
          .rows = rows,
          .group_rows = rows,
          .channels = channels,
          .x = y,
          .epsilon = to.epsilon,
          .mean = to.mean,
          .variance = to.variance,
          .rstd = to.rstd};
}

BatchNormApply activation_of(Operands& o, const void* x, int64_t rows, int64_t channels) {
  const auto parameter = [&] { return o.read<float>(channels, 0.5, 1.5); };
  return {.dtype = o.dtype(),
          .rows = rows,
          .group_rows = rows,
          .channels = channels,
          .x = x,
          .residual = nullptr,
          .gamma = parameter(),
          .beta = parameter(),
          .mean = parameter(),
          .rstd = parameter(),
          .activation = Activation::relu,
          .y = o.written(rows * channels),
          .mask = nullptr};
}

/// Every form; fused ones are compared with the plain kernels that they replace.
void add_convolution(std::vector<KernelCase>& all, const ConvolutionShape& s) {
  const int64_t x_size = s.batch * s.in_height * s.in_width * s.in_channels;
  const int64_t w_size = s.out_channels * s.kernel_height * s.kernel_width * s.in_channels;
  const int64_t y_size = s.batch * s.out_height() * s.out_width() * s.out_channels;
  const std::string shape =
      fmt::format("{} to {}, {}x{}, stride {}", shape_name({s.batch, s.in_height, s.in_width, s.in_channels}), s.out_channels,
                  s.kernel_height, s.kernel_width, s.stride);
  const int64_t x_rows = s.batch * s.in_height * s.in_width;
  const int64_t y_rows = s.batch * s.out_height() * s.out_width();
  const auto forward = [=](Operands& o, bool activated, bool statistics) {
    return ConvolutionForward{.dtype = o.dtype(),
                              .shape = s,
                              .x = o.read(x_size),
                              .w = o.read(w_size),
                              .y = o.written(y_size),
                              .activation = activated ? input_activation(o, s.in_channels) : kNoInputActivation,
                              .statistics = statistics ? output_statistics(o, s.out_channels) : kNoOutputStatistics};
  };
  const auto backward_weights = [=](Operands& o, bool activated) {
    return ConvolutionBackwardWeights{.dtype = o.dtype(),
                                      .dw_dtype = o.dtype(),
                                      .shape = s,
                                      .x = o.read(x_size),
                                      .dy = o.read(y_size),
                                      .dw = o.written(w_size),
                                      .activation = activated ? input_activation(o, s.in_channels) : kNoInputActivation};
  };
  const auto backward_data = [=](Operands& o) {
    return ConvolutionBackwardData{.dtype = o.dtype(),
                                   .shape = s,
                                   .dy = o.read(y_size),
                                   .w = o.read(w_size),
                                   .dx = o.written(x_size),
                                   .sums = kNoGradientSums};
  };
  const auto add = [&](const char* kernel, const Maker& own, const Maker& unfused = {}) {
    all.push_back({.kernel = kernel, .shape = shape, .own = own, .unfused = unfused, .flops = s.flops()});
  };
  add("ConvolutionForward", [=](Operands& o) { return sequence(o, forward(o, false, false)); });
  add(
      "ConvolutionForward statistics", [=](Operands& o) { return sequence(o, forward(o, false, true)); },
      [=](Operands& o) {
        const ConvolutionForward plain = forward(o, false, false);
        return sequence(o, plain, statistics_of(o, plain.y, y_rows, s.out_channels));
      });
  add(
      "ConvolutionForward activation statistics", [=](Operands& o) { return sequence(o, forward(o, true, true)); },
      [=](Operands& o) {
        ConvolutionForward plain = forward(o, false, false);
        const BatchNormApply activation = activation_of(o, plain.x, x_rows, s.in_channels);
        plain.x = activation.y;
        return sequence(o, activation, plain, statistics_of(o, plain.y, y_rows, s.out_channels));
      });
  add("ConvolutionBackwardData", [=](Operands& o) { return sequence(o, backward_data(o)); });
  add(
      "ConvolutionBackwardData sums",
      [=](Operands& o) {
        ConvolutionBackwardData fused = backward_data(o);
        fused.sums = gradient_sums(o, x_rows, s.in_channels);
        return sequence(o, fused);
      },
      [=](Operands& o) {
        const ConvolutionBackwardData plain = backward_data(o);
        const GradientSums sums = gradient_sums(o, x_rows, s.in_channels);
        return sequence(o, plain,
                        BatchNormBackwardReduce{.dtype = o.dtype(),
                                                .rows = x_rows,
                                                .group_rows = x_rows,
                                                .channels = s.in_channels,
                                                .x = sums.x,
                                                .dy = plain.dx,
                                                .more = nullptr,
                                                .mask = sums.mask,
                                                .mean = sums.mean,
                                                .rstd = sums.rstd,
                                                .sum_g = sums.sum_g,
                                                .sum_g_xhat = sums.sum_g_xhat,
                                                .g = nullptr});
      });
  add("ConvolutionBackwardWeights", [=](Operands& o) { return sequence(o, backward_weights(o, false)); });
  add(
      "ConvolutionBackwardWeights activation", [=](Operands& o) { return sequence(o, backward_weights(o, true)); },
      [=](Operands& o) {
        ConvolutionBackwardWeights plain = backward_weights(o, false);
        const BatchNormApply activation = activation_of(o, plain.x, x_rows, s.in_channels);
        plain.x = activation.y;
        return sequence(o, activation, plain);
      });
}

/// c[m, n] = op(a) op(b)
void add_matmul(std::vector<KernelCase>& all, const char* use, int64_t m, int64_t n, int64_t k, Transpose a, Transpose b) {
  all.push_back({.kernel = fmt::format("Matmul {}", use),
                 .shape = shape_name({m, n, k}),
                 .own =
                     [=](Operands& o) {
                       return sequence(o, Matmul{.dtype = o.dtype(),
                                                 .c_dtype = o.dtype(),
                                                 .m = m,
                                                 .n = n,
                                                 .k = k,
                                                 .transpose_a = a,
                                                 .transpose_b = b,
                                                 .a = o.read(m * k),
                                                 .b = o.read(k * n),
                                                 .bias = nullptr,
                                                 .c = o.written(m * n)});
                     },
                 .flops = 2.0 * static_cast<double>(m * n) * static_cast<double>(k)});
}

/// The distinct convolutions of the ImageNet networks.
std::vector<ConvolutionShape> convolutions(int64_t batch) {
  std::vector<ConvolutionShape> found;
  for (const char* model : {"resnet18", "resnet34", "resnet50"}) {
    ResNetConfig config = named_resnet(model);
    config.stored_in_channels = stored_input_channels(DType::f16);
    for (const LayerSummary& layer : summarize(ResNet(config), {batch, 224, 224, 3}).layers) {
      if (layer.convolution && std::ranges::find(found, *layer.convolution) == found.end()) {
        found.push_back(*layer.convolution);
      }
    }
  }
  return found;
}

std::vector<KernelCase> cases(int64_t batch) {
  std::vector<KernelCase> all;
  for (const ConvolutionShape& s : convolutions(batch)) {
    add_convolution(all, s);
  }
  for (const int64_t features : {512, 2048}) {
    add_matmul(all, "forward", batch, 1000, features, Transpose::no, Transpose::yes);
    add_matmul(all, "dx", batch, features, 1000, Transpose::no, Transpose::no);
    add_matmul(all, "dw", 1000, features, batch, Transpose::yes, Transpose::no);
  }
  return all;
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
