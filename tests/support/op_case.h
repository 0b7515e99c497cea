#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"
#include "tests/support/random.h"

/// One list of cases an operation serves its tests on every device.
namespace residua::test {

/// A tensor's elements in double precision, in memory order.
using HostArray = std::vector<double>;
/// Fills an input.
using Values = std::function<void(Random& random, std::span<double> values)>;

Values uniform(double low, double high);
/// Of both signs, at least `gap` away from 0.
Values away_from_zero(double gap, double high);
/// No two alike: a random order of evenly spaced values in [-1, 1].
Values distinct();
/// Whole numbers in [low, high].
Values integers(int64_t low, int64_t high);

struct OpInput {
  std::string name;
  Shape shape;
  Values values;
  bool differentiable = true;
  std::optional<DType> dtype = {};  // fixed, or that which the case runs in
};

struct OpCase {
  std::string op;    // "conv2d"
  std::string name;  // what is special, in letters, digits and underscores
  std::vector<OpInput> inputs;
  /// The operation. Gradients are taken of the first output.
  std::function<std::vector<Tensor>(std::span<const Tensor> inputs)> run;
  /// All outputs, straight from the definition, sharing no code with the operation.
  std::function<std::vector<HostArray>(std::span<const HostArray> inputs)> reference;
  /// The gradient of sum(projection * first output) with respect to each input, or empty arrays; optional. Finite differences
  /// of `reference` are checked in any case, but only for some elements.
  std::function<std::vector<HostArray>(std::span<const HostArray> inputs, const HostArray& projection)> reference_gradients =
      {};
  /// False for inputs too near a kink for fp32 and double to be sure to fall on the same side; they are drawn again. Optional.
  std::function<bool(std::span<const HostArray> inputs)> usable = {};
  std::vector<DType> dtypes = {DType::f32, DType::f16, DType::bf16};
  double tolerance = 1.0;           // multiples of what the type usually needs
  double gradient_tolerance = 4.0;  // likewise
  double f32_tolerance = 1.0;       // factor on both in f32, for algorithms that trade its last bits for speed
  double flops = 0.0;               // of the forward; 0 where the operation is bound by memory

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

/// `value` as the type would store it.
double rounded(double value, DType dtype);

/// Inputs of a case, drawn anew and rounded to their types. Fails when no usable ones come up.
std::vector<HostArray> draw_inputs(const OpCase& c, DType dtype, Random& random);

/// The same on a device. With `with_gradients`, differentiable inputs are leaves that require a gradient.
enum class Leaves { plain, require_gradients };
std::vector<Tensor> make_inputs(const OpCase& c, DType dtype, std::span<const HostArray> values, Device device, Leaves leaves);

/// A scalar whose gradient with respect to y is `projection`: backward() from any output without further arithmetic.
Tensor projected(const Tensor& y, const Tensor& projection);

/// Random weights of `size` outputs in [-1, 1], exact in `dtype`.
HostArray draw_projection(int64_t size, DType dtype, Random& random);

Tensor to_tensor(const HostArray& values, Shape shape, DType dtype, Device device);

}  // namespace residua::test
