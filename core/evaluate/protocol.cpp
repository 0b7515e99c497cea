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

}  // namespace

int64_t count_views(const Protocol& protocol, int64_t input_size) {
  int64_t views = 0;
  for (const EvaluationPass& pass : protocol.passes(input_size)) {
    views += pass.views->count();
  }
  return views;
}

void average_views(Average average, std::span<const float> logits, std::span<float> scores) {
  if (logits.size() == scores.size() || average == Average::logits) {
    average_logits(logits, scores);
  } else {
    average_probabilities(logits, scores);
  }
}

void declare(Settings& s, EvaluationOptions& o) {
  s.choice("protocol", o.protocol, Registry<Protocol>::names(),
           "Which views of each image an evaluation uses. " + help_of_kinds<Protocol>());
  s.choice(
      "average", o.average,
      "What a protocol with several views takes the mean of: the softmax outputs, or the logits. The paper's ten-crop test "
      "is that of Krizhevsky et al. 2012, who average the softmax outputs.");
  o.protocols.declare(s);
}

}  // namespace residua
