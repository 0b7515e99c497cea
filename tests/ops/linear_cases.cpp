#include "core/ops/linear.h"

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

enum class Bias { with, without };

OpCase make(int64_t n, int64_t k, int64_t m, Bias bias) {
  const double flops = 2.0 * static_cast<double>(n * k * m);
  const auto columns = static_cast<size_t>(k);
  const auto classes = static_cast<size_t>(m);
  const auto rows = static_cast<size_t>(n);
  OpCase c{
      .op = "linear",
      .name = fmt::format("n{}_{}_to_{}{}", n, k, m, bias == Bias::without ? "_without_bias" : ""),
      .inputs = {{.name = "x", .shape = {n, k}, .values = uniform(-1, 1)},
                 {.name = "w", .shape = {m, k}, .values = uniform(-1, 1)}},
      .run = [](std::span<const Tensor> in) { return std::vector{linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor())}; },
      .reference =
          [=](std::span<const HostArray> in) {
            HostArray y(rows * classes);
            for (size_t i = 0; i < y.size(); ++i) {
              y[i] = in.size() > 2 ? in[2][i % classes] : 0.0;
              for (size_t j = 0; j < columns; ++j) {
                y[i] += in[0][i / classes * columns + j] * in[1][i % classes * columns + j];
              }
            }
            return std::vector<HostArray>{y};
          },
      .reference_gradients =
          [=](std::span<const HostArray> in, const HostArray& dy) {
            HostArray dx(in[0].size());
            HostArray dw(in[1].size());
            HostArray db(classes);
            for (size_t i = 0; i < dy.size(); ++i) {
              db[i % classes] += dy[i];
              for (size_t j = 0; j < columns; ++j) {
                dx[i / classes * columns + j] += dy[i] * in[1][i % classes * columns + j];
                dw[i % classes * columns + j] += dy[i] * in[0][i / classes * columns + j];
              }
            }
            return std::vector<HostArray>{dx, dw, db};
          },
      .flops = flops};
  if (bias == Bias::with) {
    c.inputs.push_back({"bias", {m}, uniform(-1, 1), true, DType::f32});
  }
  return c;
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const Bias bias : {Bias::with, Bias::without}) {
    all.push_back(make(1, 1, 1, bias));
    all.push_back(make(2, 3, 5, bias));
    all.push_back(make(7, 64, 10, bias));
    all.push_back(make(3, 33, 17, bias));
    all.push_back(make(301, 3, 65, bias));
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
