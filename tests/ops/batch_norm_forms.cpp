#include "tests/ops/batch_norm_forms.h"

#include <algorithm>

#include "core/ops/batch_norm_relu_conv2d.h"
#include "core/ops/batch_norm_relu_max_pool.h"

namespace residua::test {
namespace {

Tensor leaf(Random& random, const Shape& shape, DType dtype, Device device, const Values& values) {
  HostArray host(static_cast<size_t>(shape.size()));
  values(random, host);
  Tensor t = to_tensor(host, shape, dtype, device);
  t.set_requires_grad(true);
  return t;
}

}  // namespace

BatchNormTensors NormInputs::parameters() const {
  return {.gamma = gamma, .beta = beta, .running_mean = {}, .running_var = {}, .batch_mean = {}, .batch_var = {}};
}

NormInputs NormInputs::part(int64_t first, int64_t count) const {
  NormInputs part{images_of(x, first, count), images_of(residual, first, count), gamma.clone(), beta.clone(), w.clone()};
  for (Tensor* tensor : {&part.x, &part.residual, &part.gamma, &part.beta, &part.w}) {
    tensor->set_requires_grad(true);
  }
  return part;
}

NormInputs draw_norm_inputs(Random& random, const Shape& shape, DType dtype, Device device) {
  const int64_t channels = shape[3];
  return {leaf(random, shape, dtype, device, distinct()), leaf(random, shape, dtype, device, uniform(-1, 1)),
          leaf(random, {channels}, DType::f32, device, away_from_zero(0.5, 1.5)),
          leaf(random, {channels}, DType::f32, device, uniform(-0.5, 0.5)),
          leaf(random, {channels, 3, 3, channels}, dtype, device, uniform(-1, 1))};
}

const std::vector<NormForm>& norm_forms() {
  static const std::vector<NormForm> forms{
      {"batch_norm", [](const NormInputs& in, const BatchNormTensors& p) { return batch_norm(in.x, p, Mode::train); }},
      {"batch_norm_relu",
       [](const NormInputs& in, const BatchNormTensors& p) { return batch_norm_relu(in.x, p, Mode::train); }},
      {"batch_norm_add_relu",
       [](const NormInputs& in, const BatchNormTensors& p) { return batch_norm_add_relu(in.x, in.residual, p, Mode::train); }},
      {"batch_norm_relu_max_pool",
       [](const NormInputs& in, const BatchNormTensors& p) {
         return batch_norm_relu_max_pool(in.x, p, {.window = 3, .stride = 2, .padding = 1}, Mode::train);
       }},
      {"batch_norm_relu_conv2d", [](const NormInputs& in, const BatchNormTensors& p) {
         return batch_norm_relu_conv2d(in.x, p, in.w, {.stride = 1, .padding = 1}, Mode::train);
       }}};
  return forms;
}

Tensor images_of(const Tensor& x, int64_t first, int64_t count) {
  Tensor part = empty({count, x.dim(1), x.dim(2), x.dim(3)}, x.dtype(), x.device());
  part.copy_from(x.slice(first * (x.size() / x.dim(0)), part.shape()));
  return part;
}

void append(HostArray& all, const Tensor& t) {
  if (t.defined()) {
    const std::vector<float> v = t.to_vector();
    all.insert(all.end(), v.begin(), v.end());
  }
}

void add(HostArray& sums, const Tensor& t) {
  if (t.defined()) {
    const std::vector<float> v = t.to_vector();
    sums.resize(v.size());
    std::ranges::transform(sums, v, sums.begin(), [](double sum, float value) { return sum + static_cast<double>(value); });
  }
}

}  // namespace residua::test
