#include "core/nn/layers.h"

#include "core/device/profile.h"
#include "core/distributed/communicator.h"
#include "core/kernels/convolution.h"
#include "core/ops/linear.h"

namespace residua {
namespace {

int64_t positive(int64_t value, const char* what) {
  if (value < 1) {
    fail_usage("{} is {}, wanted at least 1", what, value);
  }
  return value;
}

Conv2dSpec checked(Conv2dSpec spec) {
  positive(spec.in_channels, "a convolution's number of input channels");
  positive(spec.out_channels, "a convolution's number of output channels");
  positive(spec.kernel, "a convolution's kernel size");
  positive(spec.stride, "a convolution's stride");
  if (spec.stored_in_channels == 0) {
    spec.stored_in_channels = spec.in_channels;
  }
  return spec;
}

Parameter convolution_weight(const Conv2dSpec& spec) {
  return {ParameterRole::matrix,
          Initializer::he_normal,
          {spec.out_channels, spec.kernel, spec.kernel, spec.stored_in_channels},
          {spec.out_channels, spec.in_channels, spec.kernel, spec.kernel}};
}

Parameter linear_weight(int64_t in_features, int64_t out_features) {
  const Shape shape{positive(out_features, "a linear layer's number of outputs"),
                    positive(in_features, "a linear layer's number of inputs")};
  return {ParameterRole::matrix, Initializer::he_normal, shape, shape};
}

Parameter vector(Initializer initializer, int64_t size) {
  const Shape shape{positive(size, "the number of channels")};
  return {ParameterRole::vector, initializer, shape, shape};
}

Parameter of_norm(Initializer initializer, int64_t size) {
  Parameter parameter = vector(initializer, size);
  parameter.of_norm = true;
  return parameter;
}

}  // namespace

Conv2d::Conv2d(const Conv2dSpec& spec) : weight(convolution_weight(checked(spec))), spec_(checked(spec)) {
  add_parameter("weight", weight);
}

Tensor Conv2d::forward(const Tensor& x, Mode) {
  const profile::Layer layer(weight.name);
  return conv2d(x, weight.value, options());
}

Shape Conv2d::summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const {
  if (input.rank() != 4 || input[3] != spec_.in_channels) {
    fail_usage("{}: the input is {}, wanted [N, H, W, {}]", name, input.string(), spec_.in_channels);
  }
  const ConvolutionShape shape{.batch = input[0],
                               .in_height = input[1],
                               .in_width = input[2],
                               .in_channels = weight.shape[3],
                               .out_channels = spec_.out_channels,
                               .kernel_height = spec_.kernel,
                               .kernel_width = spec_.kernel,
                               .stride = spec_.stride,
                               .padding = spec_.padding};
  if (input.size() == 0 || input[1] + 2 * spec_.padding < spec_.kernel || input[2] + 2 * spec_.padding < spec_.kernel) {
    fail_usage("{}: the input {} is too small for a {}x{} window", name, input.string(), spec_.kernel, spec_.kernel);
  }
  const Shape output{shape.batch, shape.out_height(), shape.out_width(), shape.out_channels};
  const int64_t per_output = spec_.kernel * spec_.kernel * spec_.in_channels;
  rows.push_back({.name = name,
                  .kind = fmt::format("convolution {0}x{0}, stride {1}", spec_.kernel, spec_.stride),
                  .output = output,
                  .parameters = weight.logical.size(),
                  .multiply_adds = checked_multiply(output.size(), per_output),
                  .convolution = shape});
  return output;
}

BatchNorm2d::BatchNorm2d(int64_t channels)
    : weight(of_norm(Initializer::ones, channels)), bias(of_norm(Initializer::zeros, channels)), statistics(channels) {
  add_parameter("weight", weight);
  add_parameter("bias", bias);
  add_statistics(statistics);
}

BatchNormTensors BatchNorm2d::tensors() const {
  return {.gamma = weight.value,
          .beta = bias.value,
          .running_mean = statistics.running_mean,
          .running_var = statistics.running_variance,
          .batch_mean = statistics.batch_mean,
          .batch_var = statistics.batch_variance,
          .batch_rstd = {},
          .group_images = statistics.group_images,
          .totals = statistics.totals,
          .ranks = statistics.ranks,
          .bessel_correction = statistics.bessel_correction};
}

void BatchNorm2d::prepare_bessel_correction(const Tensor& x, Mode mode) {
  if (mode == Mode::evaluate) {
    return;
  }
  if (statistics.ranks != nullptr && !statistics.ranks->alone()) {
    bessel_correction_ = {};  // the op writes it: no rank knows the rows of the others
    return;
  }
  const int64_t images = x.dim(0);
  const int64_t group = tensors().group_of(images);
  const int64_t rows = x.size() / statistics.channels;
  const int64_t last = group > 0 && images % group > 0 ? images % group : group;
  if (rows * last < 2 * images || rows < 2) {
    fail(
        "{}: batch normalization in training got an input {}{}, but needs at least 2 values per channel; use a larger batch "
        "or input",
        statistics.name, x.shape().string(),
        group < images ? fmt::format(" in groups of {}, the last of {}", group, last) : "");
  }
  const double n = static_cast<double>(rows);
  const float factor = group < images ? 1.0f : static_cast<float>(n / (n - 1));
  if (statistics.totals.defined()) {
    return;  // statistics of many batches: no step commits this one
  }
  if (factor != bessel_factor_ || !bessel_correction_.defined() ||
      bessel_correction_.data() != statistics.bessel_correction.data()) {
    statistics.bessel_correction.copy_from(std::vector<float>(static_cast<size_t>(statistics.channels), factor));
    bessel_correction_ = statistics.bessel_correction;
    bessel_factor_ = factor;
  }
}

Tensor BatchNorm2d::forward(const Tensor& x, Mode mode) {
  const profile::Layer layer(statistics.name);
  prepare_bessel_correction(x, own_mode(mode));
  return batch_norm(x, tensors(), own_mode(mode));
}

Shape BatchNorm2d::summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const {
  if (input.rank() < 2 || input[-1] != statistics.channels) {
    fail_usage("{}: the input is {}, wanted {} channels", name, input.string(), statistics.channels);
  }
  rows.push_back({.name = name, .kind = "batch norm", .output = input, .parameters = 2 * statistics.channels});
  return input;
}

Linear::Linear(int64_t in_features, int64_t out_features)
    : weight(linear_weight(in_features, out_features)), bias(vector(Initializer::zeros, out_features)) {
  add_parameter("weight", weight);
  add_parameter("bias", bias);
}

Tensor Linear::forward(const Tensor& x, Mode) {
  const profile::Layer layer(weight.name);
  return linear(x, weight.value, bias.value);
}

Shape Linear::summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const {
  const int64_t outputs = weight.logical[0];
  const int64_t inputs = weight.logical[1];
  if (input.rank() != 2 || input[1] != inputs) {
    fail_usage("{}: the input is {}, wanted [N, {}]", name, input.string(), inputs);
  }
  const Shape output{input[0], outputs};
  rows.push_back({.name = name,
                  .kind = "linear",
                  .output = output,
                  .parameters = (inputs + 1) * outputs,
                  .multiply_adds = checked_multiply(output.size(), inputs)});
  return output;
}

}  // namespace residua
