#include "core/evaluate/image_results.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace residua {

ImageResult image_result(int64_t index, int32_t label, std::span<const float> scores) {
  constexpr size_t kBest = 5;
  ImageResult result;
  result.index = index;
  result.label = label;
  const bool sound = std::ranges::none_of(scores, [](float score) { return std::isnan(score); });
  const auto before = [scores](int32_t a, int32_t b) {
    const float first = scores[static_cast<size_t>(a)];
    const float second = scores[static_cast<size_t>(b)];
    return first > second || (first == second && a < b);
  };
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t kept = std::min(kBest, scores.size());
  if (sound) {
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(), before);
    result.rank = std::ranges::count_if(order, [&](int32_t c) { return before(c, label); });
  } else {
    result.rank = static_cast<int64_t>(scores.size());
  }

  const auto most = static_cast<double>(*std::ranges::max_element(scores));
  double sum = 0;
  for (const float score : scores) {
    sum += std::exp(static_cast<double>(score) - most);
  }
  const double log_sum = sound ? most + std::log(sum) : std::numeric_limits<double>::quiet_NaN();
  result.loss = log_sum - static_cast<double>(scores[static_cast<size_t>(label)]);
  result.probability = std::exp(-result.loss);
  for (size_t i = 0; i < kept; ++i) {
    const double score = static_cast<double>(scores[static_cast<size_t>(order[i])]);
    result.best.push_back({.class_index = order[i], .probability = std::exp(score - log_sum)});
  }
  return result;
}

void ImageResults::scored(std::span<const int64_t> samples, std::span<const int32_t> labels, std::span<const float> scores) {
  const size_t classes = scores.size() / samples.size();
  for (size_t s = 0; s < samples.size(); ++s) {
    if (labels[s] >= 0) {
      results_.push_back(image_result(samples[s], labels[s], scores.subspan(s * classes, classes)));
    }
  }
}

}  // namespace residua
