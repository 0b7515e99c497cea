#include "tests/support/op_case.h"

#include <algorithm>
#include <numeric>

#include "core/autograd/tape.h"
#include "core/device/device_api.h"

namespace residua::test {
namespace {

using Maker = std::vector<OpCase> (*)();

std::vector<Maker>& makers() {
  static std::vector<Maker> list;
  return list;
}

}  // namespace

Values uniform(double low, double high) {
  return [=](Random& random, std::span<double> values) {
    std::ranges::generate(values, [&] { return random.uniform(low, high); });
  };
}

Values away_from_zero(double gap, double high) {
  return [=](Random& random, std::span<double> values) {
    std::ranges::generate(values, [&] { return random.uniform(gap, high) * (random.integer(0, 1) != 0 ? 1.0 : -1.0); });
  };
}

Values distinct() {
  return [](Random& random, std::span<double> values) {
    const auto count = static_cast<int64_t>(values.size());
    for (int64_t i = 0; i < count; ++i) {
      values[static_cast<size_t>(i)] = -1.0 + (2.0 * static_cast<double>(i) + 1.0) / static_cast<double>(count);
      std::swap(values[static_cast<size_t>(i)], values[static_cast<size_t>(random.integer(0, i))]);
    }
  };
}

Values integers(int64_t low, int64_t high) {
  return [=](Random& random, std::span<double> values) {
    std::ranges::generate(values, [&] { return static_cast<double>(random.integer(low, high)); });
  };
}

bool OpCase::differentiable() const {
  return std::ranges::any_of(inputs, [](const OpInput& input) { return input.differentiable; });
}

RegisterOpCases::RegisterOpCases(Maker make) { makers().push_back(make); }

std::vector<OpCase> op_cases() {
  std::vector<OpCase> all;
  for (const Maker make : makers()) {
    std::ranges::move(make(), std::back_inserter(all));
  }
  std::ranges::stable_sort(all, {}, &OpCase::op);
  return all;
}

std::vector<Device> test_devices() {
  std::vector<Device> devices;
#ifndef RESIDUA_HOST_CUDA
  devices.push_back({});
#endif
  if (device_api::cuda_device_count() > 0) {
    devices.push_back({Device::Type::cuda, 0});
  }
  return devices;
}

double rounded(double value, DType dtype) {
  switch (dtype) {
    case DType::f32: return static_cast<double>(static_cast<float>(value));
    case DType::f16: return static_cast<double>(to_float(from_float<f16>(static_cast<float>(value))));
    case DType::bf16: return static_cast<double>(to_float(from_float<bf16>(static_cast<float>(value))));
    default: return value;
  }
}

std::vector<HostArray> draw_inputs(const OpCase& c, DType dtype, Random& random) {
  for (int attempt = 0; attempt < 1000; ++attempt) {
    std::vector<HostArray> all;
    for (const OpInput& input : c.inputs) {
      HostArray values(static_cast<size_t>(input.shape.size()));
      input.values(random, values);
      std::ranges::transform(values, values.begin(), [&](double v) { return rounded(v, input.dtype.value_or(dtype)); });
      all.push_back(std::move(values));
    }
    if (!c.usable || c.usable(all)) {
      return all;
    }
  }
  fail("{}: no usable inputs in 1000 draws", c.full_name());
}

Tensor to_tensor(const HostArray& values, Shape shape, DType dtype, Device device) {
  const std::vector<float> floats(values.begin(), values.end());
  return from_values(shape, floats, dtype, device);
}

std::vector<Tensor> make_inputs(const OpCase& c, DType dtype, std::span<const HostArray> values, Device device, Leaves leaves) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const OpInput& input = c.inputs[i];
    tensors.push_back(to_tensor(values[i], input.shape, input.dtype.value_or(dtype), device));
    if (input.differentiable && leaves == Leaves::require_gradients) {
      tensors.back().set_requires_grad(true);
    }
  }
  return tensors;
}

Tensor projected(const Tensor& y, const Tensor& projection) {
  return record(empty({}, DType::f32, y.device()), {y}, "projected",
                [projection](const Tensor&, Gradients& gradients) { gradients.give(0, projection); });
}

HostArray draw_projection(int64_t size, DType dtype, Random& random) {
  HostArray weights(static_cast<size_t>(size));
  std::ranges::generate(weights, [&] { return rounded(random.uniform(-1.0, 1.0), dtype); });
  return weights;
}

}  // namespace residua::test
