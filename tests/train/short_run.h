#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/train/small_run.h"

namespace residua::test {

using Flags = std::vector<std::pair<std::string, Words>>;
using NamedArrays = std::map<std::string, std::vector<float>>;

/// What a short run came to.
struct ShortRun {
  std::string error;  // that it ended with
  NamedArrays first;  // its parameters before and after
  NamedArrays last;
  std::vector<double> rates;  // of the log
  std::vector<double> epochs;
  std::vector<double> validation_losses;
  std::vector<int64_t> clean_images;  // of each evaluation of clean training images
  RunState state;
  SafetensorsMetadata metadata;  // of the last weights
  Capture capture = Capture::on;
  device_api::PlanOptions plans = {};
  Flags flags;

  bool ended_well() const { return error.empty(); }
  /// How far the parameters have come.
  double distance() const;
  /// The rate of the run's schedule, a plateau of this patience, after it saw these errors.
  double rate_after(const std::vector<double>& errors, const std::string& patience) const;
};

double norm(const NamedArrays& arrays);
double norm(const NamedArrays& arrays, const std::string& name);

/// Four iterations of SmallRun on the images that its settings name, reported one by one, with these settings.
ShortRun short_run(
    const Flags& flags, const std::function<void(SmallRun&)>& prepare = [](SmallRun&) {});

/// A folder with two sets of images, photos and drawings, of classes of their own; two of the 16 training photos are damaged.
/// It lives as long as the process.
const std::string& image_folders();

}  // namespace residua::test
