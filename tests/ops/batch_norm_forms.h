#pragma once

#include <functional>
#include <vector>

#include "core/ops/batch_norm.h"
#include "tests/support/op_case.h"

/// All forms of batch normalization, for tests that divide a batch into parts.
namespace residua::test {

struct NormInputs {
  Tensor x, residual;  // [N, H, W, C]
  Tensor gamma, beta;
  Tensor w;  // [C, 3, 3, C]

  BatchNormTensors parameters() const;
  /// Images [first, first + count), with parameters of their own. All are leaves.
  NormInputs part(int64_t first, int64_t count) const;
};

/// Leaves with random values. Those of x differ from each other by more than rounding, so a maximum is the same in all forms.
NormInputs draw_norm_inputs(Random& random, const Shape& shape, DType dtype, Device device);

struct NormForm {
  const char* name;
  std::function<Tensor(const NormInputs& in, const BatchNormTensors& p)> op;  // in Mode::train
};
const std::vector<NormForm>& norm_forms();

/// Images [first, first + count) of x.
Tensor images_of(const Tensor& x, int64_t first, int64_t count);
/// The elements of `t`, appended or added to `all`. Does nothing if t is undefined.
void append(HostArray& all, const Tensor& t);
void add(HostArray& sums, const Tensor& t);

}  // namespace residua::test
