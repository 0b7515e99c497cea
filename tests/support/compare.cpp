#include "tests/support/compare.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace residua::test {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

double type_tolerance(DType dtype) {
  switch (dtype) {
    case DType::f32: return 2e-6;
    case DType::f16: return 0x1p-11;
    case DType::bf16: return 0x1p-8;
    default: return 0.0;
  }
}

AssertionResult close(std::span<const float> got, std::span<const double> want, double tolerance, double floor) {
  if (got.size() != want.size()) {
    return AssertionFailure() << got.size() << " elements, wanted " << want.size();
  }
  double sum_of_squares = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double g = static_cast<double>(got[i]);
    if (std::isnan(g) != std::isnan(want[i]) || std::isinf(g) != std::isinf(want[i])) {
      return AssertionFailure() << "element " << i << " of " << want.size() << " is " << g << ", wanted " << want[i];
    }
    sum_of_squares += std::isfinite(want[i]) ? want[i] * want[i] : 0.0;
  }
  const double rms = want.empty() ? 0.0 : std::sqrt(sum_of_squares / static_cast<double>(want.size()));
  const double scale = std::max(rms, floor);
  size_t wrong = 0;
  size_t worst = 0;
  double worst_ratio = 1.0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(want[i])) {
      continue;
    }
    const double error = std::fabs(static_cast<double>(got[i]) - want[i]);
    const double allowed = tolerance * (std::fabs(want[i]) + scale);
    if (!(error <= allowed)) {
      ++wrong;
      if (error / allowed > worst_ratio) {
        worst_ratio = error / allowed;
        worst = i;
      }
    }
  }
  if (wrong == 0) {
    return AssertionSuccess();
  }
  return AssertionFailure() << wrong << " of " << want.size() << " elements are off; the worst is " << worst_ratio
                            << " times the tolerance: element " << worst << " is " << got[worst] << ", wanted " << want[worst]
                            << " (scale " << scale << ", tolerance " << tolerance << ")";
}

AssertionResult close(const Tensor& got, std::span<const double> want, double tolerance, double floor) {
  return close(got.to_vector(), want, tolerance, floor);
}

AssertionResult same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) {
    return AssertionFailure() << "shapes or types differ: " << a.shape().string() << " and " << b.shape().string();
  }
  const Tensor host_a = a.to(Device{});
  const Tensor host_b = b.to(Device{});
  if (std::memcmp(host_a.data(), host_b.data(), static_cast<size_t>(a.bytes())) == 0) {
    return AssertionSuccess();
  }
  const std::vector<float> va = host_a.to_vector();
  const std::vector<float> vb = host_b.to_vector();
  for (size_t i = 0; i < va.size(); ++i) {
    if (std::bit_cast<uint32_t>(va[i]) != std::bit_cast<uint32_t>(vb[i])) {
      return AssertionFailure() << "element " << i << " of " << va.size() << " differs: " << va[i] << " and " << vb[i];
    }
  }
  return AssertionFailure() << "the bits differ, the values do not";
}

AssertionResult fails_with(const std::function<void()>& f, std::initializer_list<std::string> parts) {
  try {
    f();
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const std::string& part : parts) {
      if (message.find(part) == std::string::npos) {
        return AssertionFailure() << "the message is \"" << message << "\", wanted it to contain \"" << part << "\"";
      }
    }
    return AssertionSuccess();
  }
  return AssertionFailure() << "nothing was thrown";
}

}  // namespace residua::test
