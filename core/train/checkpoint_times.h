#pragma once

#include <chrono>
#include <cstdint>

#include "core/train/run_config.h"

namespace residua {

/// When a run saves its state between validations.
class CheckpointTimes {
 public:
  explicit CheckpointTimes(const CheckpointInterval& interval) : interval_(interval) {}

  /// Whether to save after this iteration. Never twice at one iteration.
  bool due(int64_t iteration) const {
    if (iteration == saved_iteration_) {
      return false;
    }
    const std::chrono::duration<double, std::ratio<60>> passed = Clock::now() - saved_;
    return interval_.iterations > 0 ? iteration % interval_.iterations == 0 : passed.count() >= interval_.minutes;
  }
  void saved(int64_t iteration) {
    saved_iteration_ = iteration;
    saved_ = Clock::now();
  }

 private:
  using Clock = std::chrono::steady_clock;

  CheckpointInterval interval_;
  int64_t saved_iteration_ = -1;
  Clock::time_point saved_ = Clock::now();
};

}  // namespace residua
