#pragma once

#include <cstdint>
#include <string>

#include "core/device/timeline.h"
#include "core/distributed/communicator.h"

namespace residua {

/// Writes what all ranks did in a few steps, once they have warmed up, to a file in Chrome's trace format: a page such as
/// https://ui.perfetto.dev shows it. A rank is a process of the picture.
class StepTrace {
 public:
  static constexpr int64_t kFirst = 10;  // steps before the first one that is recorded
  static constexpr int64_t kSteps = 10;  // recorded

  /// An empty path: records nothing.
  StepTrace(std::string path, Communicator& ranks) : path_(std::move(path)), ranks_(ranks) {}

  /// Call this before each step, on all ranks.
  void before_step();
  /// Call this after the last step, on all ranks. Writes what there is of a run with fewer steps.
  void finish();

 private:
  std::string path_;  // empty once it is written
  Communicator& ranks_;
  int64_t steps_ = 0;
  profile::Timeline timeline_;
};

}  // namespace residua
