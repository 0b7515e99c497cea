#include "core/evaluate/protocol.h"

#include <algorithm>
#include <cmath>

#include "core/config/settings.h"

namespace residua {
namespace {

/// log(sum of exp(values)), computed without overflow.
double log_sum_exp(std::span<const double> values) {
  const double most = *std::ranges::max_element(values);
  double sum = 0;
  for (const double value : values) {
    sum += std::exp(value - most);
  }
  return most + std::log(sum);
}

}  // namespace

void Protocol::average(std::span<const float> logits, std::span<float> scores) const { average_logits(logits, scores); }

void average_logits(std::span<const float> logits, std::span<float> scores) {
  const size_t classes = scores.size();
  const size_t views = logits.size() / classes;
  for (size_t c = 0; c < classes; ++c) {
    double sum = 0;
    for (size_t v = 0; v < views; ++v) {
      sum += static_cast<double>(logits[v * classes + c]);
    }
    scores[c] = static_cast<float>(sum / static_cast<double>(views));
  }
}

void average_probabilities(std::span<const float> logits, std::span<float> scores) {
  const size_t classes = scores.size();
  const size_t views = logits.size() / classes;
  // Work with logarithms throughout: probabilities may underflow.
  std::vector<double> log_p(logits.begin(), logits.end());
  for (size_t v = 0; v < views; ++v) {
    const std::span<double> row = std::span(log_p).subspan(v * classes, classes);
    const double total = log_sum_exp(row);
    std::ranges::for_each(row, [total](double& x) { x -= total; });
  }
  std::vector<double> of_class(views);
  for (size_t c = 0; c < classes; ++c) {
    for (size_t v = 0; v < views; ++v) {
      of_class[v] = log_p[v * classes + c];
    }
    scores[c] = static_cast<float>(log_sum_exp(of_class) - std::log(static_cast<double>(views)));
  }
}

void declare(Settings& s, EvaluationOptions& o) {
  s.choice("protocol", o.protocol, Registry<Protocol>::names(),
           "Which views of each image an evaluation uses, and how it combines their scores. " + help_of_kinds<Protocol>());
  o.protocols.declare(s);
}

}  // namespace residua
