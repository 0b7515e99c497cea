#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <span>
#include <string>

#include "core/tensor/tensor.h"

namespace residua::test {

/// The expected relative error of one operation with results in `dtype` and sums in fp32.
double type_tolerance(DType dtype);

/// Checks |got - want| <= tolerance * (|want| + scale), after checking that NaN and infinity are exactly where `want` has them.
/// `scale` is the root mean square of `want`, or `floor` if that is larger: the error of a sum with cancellation is relative to
/// its terms, not to the sum.
::testing::AssertionResult close(std::span<const float> got, std::span<const double> want, double tolerance,
                                 double floor = 0.0);
::testing::AssertionResult close(const Tensor& got, std::span<const double> want, double tolerance, double floor = 0.0);

/// Checks that the bits are the same, including NaN.
::testing::AssertionResult same_bits(const Tensor& a, const Tensor& b);

/// Calls f and expects an Error whose message contains all of `parts`.
::testing::AssertionResult fails_with(const std::function<void()>& f, std::initializer_list<std::string> parts);

}  // namespace residua::test
