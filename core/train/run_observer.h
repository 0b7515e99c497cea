#pragma once

#include <cstdint>
#include <string>

#include "core/run/event_log.h"

namespace residua {

/// Receives a run's events from the trainer, to show them.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  /// Called with a report on the steps since the last one. `seconds_left` is the estimated time to the end of the run.
  virtual void trained(const TrainRecord& /*record*/, int64_t /*total_iterations*/, double /*seconds_left*/) {}
  virtual void evaluated(const EvaluationRecord& /*record*/) {}
  /// Called with any other message, of one or a few lines.
  virtual void note(const std::string& /*text*/) {}
};

}  // namespace residua
