#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/evaluate/evaluation_observer.h"

namespace residua {

/// The network's answer for one image.
struct ImageResult {
  struct Guess {
    int32_t class_index = 0;
    double probability = 0;
  };
  int64_t index = 0;  // in the source
  int32_t label = 0;
  double loss = 0;         // -log of the label's probability
  double probability = 0;  // of the label
  /// Number of classes that rank before the label: those with a higher score, or the same and a lower index. The number of
  /// classes if a score is NaN.
  int64_t rank = 0;
  std::vector<Guess> best;  // the five most probable classes, or all if there are fewer; best first

  bool top1_error() const { return rank >= 1; }
  bool top5_error() const { return rank >= 5; }
};

/// The answer with these scores [classes]; the probabilities are their softmax, computed in double.
ImageResult image_result(int64_t index, int32_t label, std::span<const float> scores);

/// Collects the answers of an evaluation, without images that could not be read.
class ImageResults final : public EvaluationObserver {
 public:
  void scored(std::span<const int64_t> samples, std::span<const int32_t> labels, std::span<const float> scores) override;

  const std::vector<ImageResult>& all() const { return results_; }

 private:
  std::vector<ImageResult> results_;
};

}  // namespace residua
