#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/data/source.h"
#include "core/evaluate/image_results.h"

namespace residua {

/// A share of images with its 95 % confidence interval, all in %; NaN if there are no images.
struct ErrorRate {
  int64_t errors = 0;
  double percent = 0;
  double low = 0;
  double high = 0;
};

/// The rate of `errors` among `images` with Wilson's score interval: with p = errors / images, n = images and z = 1.96,
/// (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n). Wilson 1927.
ErrorRate error_rate(int64_t errors, int64_t images);

/// What an evaluation found.
struct EvaluationReport {
  struct Class {
    int64_t images = 0;
    int64_t top1_errors = 0;
    int64_t top5_errors = 0;
  };
  /// Images of the class `label` whose top class is `guess`.
  struct Confusion {
    int32_t label = 0;
    int32_t guess = 0;
    int64_t images = 0;
  };

  int64_t images = 0;
  double loss = 0;  // mean
  ErrorRate top1;
  ErrorRate top5;
  std::vector<Class> classes;         // by label
  std::vector<Confusion> confusions;  // the most frequent first, then by label and guess
  std::vector<ImageResult> worst;     // images with an error, the highest loss first, then by index
};

/// Counts the results of images in `classes` classes. Keeps the 100 most frequent confusions and the 100 worst images.
EvaluationReport evaluation_report(std::span<const ImageResult> results, int64_t classes);

/// {"images", "loss", "top1_error", "top1_interval": [low, high], "top5_error", "top5_interval", "classes": [{"name", "images",
/// "top1_errors", "top5_errors"}], "confusions": [{"label", "guess", "images"}], "worst": [{"index", "name", "label", "guess",
/// "label_probability", "guess_probability", "loss"}]}. Errors are in %; labels and guesses are class names.
nlohmann::ordered_json to_json(const EvaluationReport& report, const ImageSource& source);

/// A few lines for a person: the intervals, and the worst of classes, confusions and images.
std::string summary(const EvaluationReport& report, const ImageSource& source);

}  // namespace residua
