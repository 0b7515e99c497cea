#include "bench/kernels/kernel_case.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/device/device_api.h"

namespace residua::bench {
namespace {

using CaseMaker = std::vector<KernelCase> (*)(int64_t);

std::vector<CaseMaker>& makers() {
  static std::vector<CaseMaker> list;
  return list;
}

// A prime, so that power-of-two strides do not repeat the same values.
constexpr int64_t kDistinctValues = 65521;

}  // namespace

void* Operands::fill(int64_t size, DType dtype, double low, double high, int crossings) {
  bytes_ += static_cast<double>(crossings * size * size_bytes(dtype));
  if (allocation_ == Allocation::none && crossings > 0) {  // the small tensors that do not count may be written by the maker
    alignas(256) static unsigned char nothing[256];
    return nothing;
  }
  std::mt19937 random(static_cast<unsigned>(tensors_.size()));
  std::uniform_real_distribution<double> uniform(low, std::nextafter(high + (is_floating(dtype) ? 0 : 1), low));
  std::vector<float> values(static_cast<size_t>(std::min(size, kDistinctValues)));
  std::ranges::generate(values, [&] {
    const double value = uniform(random);
    return static_cast<float>(is_floating(dtype) ? value : std::floor(value));
  });
  const Tensor tensor = empty({size}, dtype, device_);
  auto filled = static_cast<int64_t>(values.size());
  tensor.slice(0, {filled}).copy_from(values);
  while (filled < size) {
    const int64_t more = std::min(filled, size - filled);
    tensor.slice(filled, {more}).copy_from(tensor.slice(0, {more}));
    filled += more;
  }
  tensors_.push_back(tensor);
  return tensor.data();
}

RegisterKernelCases::RegisterKernelCases(CaseMaker make) { makers().push_back(make); }

std::vector<KernelCase> kernel_cases(int64_t batch) {
  std::vector<KernelCase> all;
  for (const CaseMaker make : makers()) {
    std::ranges::move(make(batch), std::back_inserter(all));
  }
  std::ranges::stable_sort(all, {}, &KernelCase::kernel);
  return all;
}

std::string shape_name(std::initializer_list<int64_t> sizes) { return fmt::format("{}", fmt::join(sizes, "x")); }

}  // namespace residua::bench
