#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <span>
#include <string>

#include "core/tensor/tensor.h"

namespace residua::test {

/// Relative error to be expected of one operation whose result is stored in `dtype` and whose sums are kept in fp32.
double type_tolerance(DType dtype);

/// |got - want| <= tolerance * (|want| + scale), NaN and infinity exactly where they are wanted; that is looked at first.
/// `scale` is the root mean square of `want`, or `floor` if that is larger: sums with cancellation are exact to their terms,
/// not to themselves.
::testing::AssertionResult close(std::span<const float> got, std::span<const double> want, double tolerance,
                                 double floor = 0.0);
::testing::AssertionResult close(const Tensor& got, std::span<const double> want, double tolerance, double floor = 0.0);

/// The same bits, NaN included.
::testing::AssertionResult same_bits(const Tensor& a, const Tensor& b);

/// Calls f and wants an Error whose message contains all of `parts`.
::testing::AssertionResult fails_with(const std::function<void()>& f, std::initializer_list<std::string> parts);

}  // namespace residua::test
