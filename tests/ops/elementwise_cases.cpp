#include "core/ops/add.h"
#include "core/ops/cast.h"
#include "core/ops/relu.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

std::string size_name(const Shape& shape) { return fmt::format("size_{}", shape.size()); }

OpCase make_relu(const Shape& shape) {
  return {.op = "relu",
          .name = size_name(shape),
          .inputs = {{.name = "x", .shape = shape, .values = away_from_zero(0.01, 1)}},
          .run = [](std::span<const Tensor> in) { return std::vector{relu(in[0])}; },
          .reference =
              [](std::span<const HostArray> in) {
                HostArray y = in[0];
                for (double& v : y) {
                  v = v > 0 ? v : 0;
                }
                return std::vector<HostArray>{y};
              }};
}

OpCase make_add(const Shape& shape) {
  return {.op = "add",
          .name = size_name(shape),
          .inputs = {{.name = "a", .shape = shape, .values = uniform(-1, 1)},
                     {.name = "b", .shape = shape, .values = uniform(-1, 1)}},
          .run = [](std::span<const Tensor> in) { return std::vector{add(in[0], in[1])}; },
          .reference =
              [](std::span<const HostArray> in) {
                HostArray y = in[0];
                for (size_t i = 0; i < y.size(); ++i) {
                  y[i] += in[1][i];
                }
                return std::vector<HostArray>{y};
              }};
}

OpCase make_cast(const Shape& shape, DType to) {
  return {.op = "cast",
          .name = fmt::format("to_{}_{}", name(to), size_name(shape)),
          .inputs = {{.name = "x", .shape = shape, .values = uniform(-1, 1)}},
          .run = [to](std::span<const Tensor> in) { return std::vector{cast(in[0], to)}; },
          .reference = [](std::span<const HostArray> in) { return std::vector<HostArray>{in[0]}; },
          // Whatever the input's type, the result has the precision of `to`.
          .tolerance = to == DType::f32 ? 1.0 : 2000.0,
          .gradient_tolerance = to == DType::f32 ? 4.0 : 2000.0};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{2, 3, 5, 17}, Shape{3, 7, 5, 64}, Shape{20011}}) {
    all.push_back(make_relu(shape));
    all.push_back(make_add(shape));
    all.push_back(make_cast(shape, DType::f32));
    all.push_back(make_cast(shape, DType::bf16));
    all.push_back(make_cast(shape, DType::f16));
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
