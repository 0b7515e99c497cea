#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/config/toml_file.h"
#include "core/train/run_config.h"

namespace residua::test {

/// A run's settings, to be given in layers.
struct LayeredRun {
  LayeredRun() { declare(settings, config); }
  LayeredRun& file(const std::string& toml) {
    settings.assign(parse_toml(toml, "file"), Layer::file, "file");
    return *this;
  }
  LayeredRun& flag(const std::string& name, const Words& words) {
    settings.assign(name, words, Layer::command_line);
    return *this;
  }
  LayeredRun& finish(bool photos) {
    settle(settings, config);
    apply_recipe(settings, config, photos);
    return *this;
  }
  std::string error(bool photos) {
    try {
      finish(photos);
      return "";
    } catch (const UsageError& e) {
      return e.what();
    }
  }
  double rate() const { return rate_for_batch(config.schedule, config.training.batch_size); }
  /// The iterations at which the rate changes, at 100 an epoch.
  std::vector<int64_t> falls() const {
    const RunLength length = run_length(config.training, 100);
    const std::unique_ptr<Schedule> schedule = make_schedule(config.schedule, length, config.training.batch_size);
    std::vector<int64_t> found;
    for (int64_t i = 1; i < length.total_iterations; ++i) {
      if (schedule->rate(i) != schedule->rate(i - 1)) {
        found.push_back(i);
      }
    }
    return found;
  }

  RunConfig config;
  Settings settings;
};

}  // namespace residua::test
