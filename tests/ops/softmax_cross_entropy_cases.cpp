#include "core/ops/softmax_cross_entropy.h"

#include <cmath>

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

std::vector<HostArray> reference(size_t rows, size_t classes, double smoothing, std::span<const HostArray> in) {
  HostArray row_loss(rows);
  double total = 0.0;
  double counted = 0.0;
  double top1 = 0.0;
  double top5 = 0.0;
  for (size_t r = 0; r < rows; ++r) {
    const auto label = static_cast<int64_t>(in[1][r]);
    if (label < 0) {
      continue;
    }
    const double* logits = &in[0][r * classes];
    double largest = logits[0];
    for (size_t c = 1; c < classes; ++c) {
      largest = std::max(largest, logits[c]);
    }
    double sum = 0.0;
    for (size_t c = 0; c < classes; ++c) {
      sum += std::exp(logits[c] - largest);
    }
    const double log_sum = largest + std::log(sum);
    const auto own = static_cast<size_t>(label);
    int above = 0;
    double spread = 0.0;
    for (size_t c = 0; c < classes; ++c) {
      spread += (log_sum - logits[c]) / static_cast<double>(classes);
      above += logits[c] > logits[own] || (logits[c] == logits[own] && c < own) ? 1 : 0;
    }
    row_loss[r] = (1.0 - smoothing) * (log_sum - logits[own]) + smoothing * spread;
    total += row_loss[r];
    counted += 1.0;
    top1 += above >= 1 ? 1.0 : 0.0;
    top5 += above >= 5 ? 1.0 : 0.0;
  }
  return {{counted > 0 ? total / counted : 0.0}, {top1}, {top5}, row_loss};
}

OpCase make(int64_t rows, int64_t classes, float smoothing, int64_t least_label) {
  const double size = static_cast<double>(rows * classes);
  return {.op = "softmax_cross_entropy",
          .name = fmt::format("n{}_of_{}{}{}", rows, classes, smoothing > 0 ? "_smoothed" : "",
                              least_label < 0 ? "_some_without_label" : ""),
          .inputs = {{.name = "logits", .shape = {rows, classes}, .values = uniform(-5, 5)},
                     {.name = "labels",
                      .shape = {rows},
                      .values = integers(least_label, classes - 1),
                      .differentiable = false,
                      .dtype = DType::i32}},
          .run =
              [smoothing](std::span<const Tensor> in) {
                const SoftmaxCrossEntropy out = softmax_cross_entropy(in[0], in[1], smoothing);
                return std::vector{out.loss, out.top1_errors, out.top5_errors, out.row_loss};
              },
          .reference =
              [=](std::span<const HostArray> in) {
                return reference(static_cast<size_t>(rows), static_cast<size_t>(classes), static_cast<double>(smoothing), in);
              },
          .flops = 5 * size};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const float smoothing : {0.0f, 0.1f}) {
    all.push_back(make(1, 1, smoothing, 0));
    all.push_back(make(3, 2, smoothing, 0));
    all.push_back(make(5, 7, smoothing, -1));
    all.push_back(make(9, 10, smoothing, 0));
    all.push_back(make(4, 1000, smoothing, 0));
    all.push_back(make(11, 1000, smoothing, -1));
    all.push_back(make(300, 10, smoothing, -3));
    all.push_back(make(70, 100, smoothing, 0));
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
