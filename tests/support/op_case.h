#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"
#include "tests/support/random.h"

/// Each operation has one list of cases, which its tests use on every device.
namespace residua::test {

/// A tensor's elements in double precision, in memory order.
using HostArray = std::vector<double>;
/// Fills an input.
using Values = std::function<void(Random& random, std::span<double> values)>;

Values uniform(double low, double high);
/// Values of both signs with magnitude from `gap` to `high`.
Values away_from_zero(double gap, double high);
/// Distinct values: evenly spaced in [-1, 1], in random order.
Values distinct();
/// Whole numbers in [low, high].
Values integers(int64_t low, int64_t high);

struct OpInput {
  std::string name;
  Shape shape;
  Values values;
  bool differentiable = true;
  std::optional<DType> dtype = {};  // fixed; default: the type that the case runs in
};

struct OpCase {
  std::string op;    // "conv2d"
  std::string name;  // what is special about it, in letters, digits and underscores
  std::vector<OpInput> inputs;
  /// The operation. The first output is differentiated.
  std::function<std::vector<Tensor>(std::span<const Tensor> inputs)> run;
  /// Computes all outputs from the definition, without sharing code with the operation.
  std::function<std::vector<HostArray>(std::span<const HostArray> inputs)> reference;
  /// Optional: the gradient of sum(projection * first output) with respect to each input, or empty arrays. Gradients are always
  /// compared with finite differences of `reference` too, but only for some elements.
  std::function<std::vector<HostArray>(std::span<const HostArray> inputs, const HostArray& projection)> reference_gradients =
      {};
  /// Optional: false for inputs so near a kink that fp32 and double may fall on different sides. They are drawn again.
  std::function<bool(std::span<const HostArray> inputs)> usable = {};
  std::vector<DType> dtypes = {DType::f32, DType::f16, DType::bf16};
  double tolerance = 1.0;           // multiple of type_tolerance()
  double gradient_tolerance = 4.0;  // multiple of type_tolerance()
  double f32_tolerance = 1.0;       // factor on both in f32, for algorithms that trade the last bits for speed
  double flops = 0.0;               // of the forward pass; 0 if the operation is memory-bound

  std::string full_name() const { return op + "/" + name; }
  bool differentiable() const;
};

/// A namespace-scope object of this type adds an operation's cases.
struct RegisterOpCases {
  explicit RegisterOpCases(std::vector<OpCase> (*make)());
};

/// All cases, ordered by name.
std::vector<OpCase> op_cases();

/// Devices that this build and machine can run the cases on.
std::vector<Device> test_devices();

/// `value` rounded to the type.
double rounded(double value, DType dtype);

/// Draws a case's inputs, rounded to their types. Fails if it finds no usable ones.
std::vector<HostArray> draw_inputs(const OpCase& c, DType dtype, Random& random);

/// Copies inputs to a device. With Leaves::require_gradients, differentiable inputs are leaves that require a gradient.
enum class Leaves { plain, require_gradients };
std::vector<Tensor> make_inputs(const OpCase& c, DType dtype, std::span<const HostArray> values, Device device, Leaves leaves);

/// A scalar whose gradient with respect to y is `projection`, to start backward() from any output without further arithmetic.
Tensor projected(const Tensor& y, const Tensor& projection);

/// Random weights of `size` outputs in [-1, 1], exact in `dtype`.
HostArray draw_projection(int64_t size, DType dtype, Random& random);

Tensor to_tensor(const HostArray& values, Shape shape, DType dtype, Device device);

}  // namespace residua::test
