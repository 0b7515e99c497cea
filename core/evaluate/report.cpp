#include "core/evaluate/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "core/base/join.h"

namespace residua {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kKept = 100;  // confusions and images of a report
constexpr size_t kNamed = 5;   // of a summary

const std::string& class_name(const ImageSource& source, int32_t index) {
  return source.class_names()[static_cast<size_t>(index)];
}

std::vector<EvaluationReport::Confusion> confusions_of(std::span<const ImageResult> results) {
  std::map<std::pair<int32_t, int32_t>, int64_t> counts;
  for (const ImageResult& result : results) {
    if (result.top1_error()) {
      ++counts[{result.label, result.best.front().class_index}];
    }
  }
  std::vector<EvaluationReport::Confusion> confusions;
  for (const auto& [pair, images] : counts) {
    confusions.push_back({.label = pair.first, .guess = pair.second, .images = images});
  }
  std::ranges::stable_sort(confusions, std::ranges::greater(), &EvaluationReport::Confusion::images);
  confusions.resize(std::min(confusions.size(), kKept));
  return confusions;
}

std::vector<ImageResult> worst_of(std::span<const ImageResult> results) {
  std::vector<ImageResult> worst;
  std::ranges::copy_if(results, std::back_inserter(worst), &ImageResult::top1_error);
  const auto badness = [](const ImageResult& r) {
    return std::isnan(r.loss) ? std::numeric_limits<double>::infinity() : r.loss;
  };
  std::ranges::stable_sort(worst, std::ranges::greater(), badness);
  worst.resize(std::min(worst.size(), kKept));
  return worst;
}

/// Labels of classes with images, the highest share of errors first, then the most images.
std::vector<int32_t> by_error(const EvaluationReport& report) {
  const auto share = [&](int32_t label) {
    const EvaluationReport::Class& c = report.classes[static_cast<size_t>(label)];
    return std::pair(static_cast<double>(c.top1_errors) / static_cast<double>(c.images), c.images);
  };
  std::vector<int32_t> labels(report.classes.size());
  std::iota(labels.begin(), labels.end(), 0);
  std::erase_if(labels, [&](int32_t label) { return report.classes[static_cast<size_t>(label)].top1_errors == 0; });
  std::ranges::stable_sort(labels, std::ranges::greater(), share);
  return labels;
}

std::string interval_text(const ErrorRate& rate) { return fmt::format("{:.2f} to {:.2f} %", rate.low, rate.high); }

/// The first few of some things in words.
template <class Things, class Words>
std::string few(const Things& things, const Words& words) {
  std::vector<std::string> texts;
  for (const auto& thing : things) {
    if (texts.size() == kNamed) {
      break;
    }
    texts.push_back(words(thing));
  }
  return join(texts, "; ");
}

}  // namespace

ErrorRate error_rate(int64_t errors, int64_t images) {
  constexpr double kZ = 1.959963984540054;  // of 95 %
  const double n = images > 0 ? static_cast<double>(images) : std::numeric_limits<double>::quiet_NaN();
  const double p = static_cast<double>(errors) / n;
  const double center = p + kZ * kZ / (2 * n);
  const double radius = kZ * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n));
  const double scale = 100 / (1 + kZ * kZ / n);
  return {.errors = errors,
          .percent = 100 * p,
          .low = std::max((center - radius) * scale, 0.0),  // rounding can pass the ends; NaN stays
          .high = std::min((center + radius) * scale, 100.0)};
}

EvaluationReport evaluation_report(std::span<const ImageResult> results, int64_t classes) {
  EvaluationReport report;
  report.images = static_cast<int64_t>(results.size());
  report.classes.resize(static_cast<size_t>(classes));
  int64_t top1_errors = 0;
  int64_t top5_errors = 0;
  for (const ImageResult& result : results) {
    EvaluationReport::Class& own = report.classes[static_cast<size_t>(result.label)];
    ++own.images;
    own.top1_errors += result.top1_error() ? 1 : 0;
    own.top5_errors += result.top5_error() ? 1 : 0;
    top1_errors += result.top1_error() ? 1 : 0;
    top5_errors += result.top5_error() ? 1 : 0;
    report.loss += result.loss;
  }
  report.loss /= static_cast<double>(results.size());
  report.top1 = error_rate(top1_errors, report.images);
  report.top5 = error_rate(top5_errors, report.images);
  report.confusions = confusions_of(results);
  report.worst = worst_of(results);
  return report;
}

nlohmann::ordered_json to_json(const EvaluationReport& report, const ImageSource& source) {
  Json json = {{"images", report.images},
               {"loss", report.loss},
               {"top1_errors", report.top1.errors},
               {"top1_error", report.top1.percent},
               {"top1_interval", {report.top1.low, report.top1.high}},
               {"top5_errors", report.top5.errors},
               {"top5_error", report.top5.percent},
               {"top5_interval", {report.top5.low, report.top5.high}}};
  Json& classes = json["classes"] = Json::array();
  for (size_t label = 0; label < report.classes.size(); ++label) {
    const EvaluationReport::Class& c = report.classes[label];
    classes.push_back({{"name", source.class_names()[label]},
                       {"images", c.images},
                       {"top1_errors", c.top1_errors},
                       {"top5_errors", c.top5_errors}});
  }
  Json& confusions = json["confusions"] = Json::array();
  for (const EvaluationReport::Confusion& c : report.confusions) {
    confusions.push_back(
        {{"label", class_name(source, c.label)}, {"guess", class_name(source, c.guess)}, {"images", c.images}});
  }
  Json& worst = json["worst"] = Json::array();
  for (const ImageResult& r : report.worst) {
    worst.push_back({{"index", r.index},
                     {"name", source.name(r.index)},
                     {"label", class_name(source, r.label)},
                     {"guess", class_name(source, r.best.front().class_index)},
                     {"label_probability", r.probability},
                     {"guess_probability", r.best.front().probability},
                     {"loss", r.loss}});
  }
  return json;
}

std::string summary(const EvaluationReport& report, const ImageSource& source) {
  std::string text = fmt::format("95 % intervals (Wilson): top-1 error {}, top-5 error {}", interval_text(report.top1),
                                 interval_text(report.top5));
  if (report.worst.empty()) {
    return text;
  }
  text += "\nhighest top-1 errors: " + few(by_error(report), [&](int32_t label) {
            const EvaluationReport::Class& c = report.classes[static_cast<size_t>(label)];
            return fmt::format("{} {} of {}", class_name(source, label), c.top1_errors, c.images);
          });
  text += "\nmost frequent confusions: " + few(report.confusions, [&](const EvaluationReport::Confusion& c) {
            return fmt::format("{} taken for {}: {}", class_name(source, c.label), class_name(source, c.guess), c.images);
          });
  text += "\nhighest losses: " + few(report.worst, [&](const ImageResult& r) {
            return fmt::format("{} ({:.2f}, taken for {})", source.name(r.index), r.loss,
                               class_name(source, r.best.front().class_index));
          });
  return text;
}

}  // namespace residua
