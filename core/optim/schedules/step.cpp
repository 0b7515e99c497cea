#include <algorithm>
#include <cmath>

#include "core/optim/schedules/schedule.h"

namespace residua {
namespace {

/// rate * factor^(number of boundaries <= iteration).
class Step final : public Schedule {
 public:
  explicit Step(const ScheduleRun& run) : run_(run) {
    for (size_t i = 1; i < run.boundaries.size(); ++i) {
      if (run.boundaries[i] <= run.boundaries[i - 1]) {
        fail_setting("lr-steps", fmt::format("iteration {}", run.boundaries[i]), "each step after the one before");
      }
    }
  }

  double rate(int64_t iteration) const override {
    const auto passed = std::ranges::upper_bound(run_.boundaries, iteration) - run_.boundaries.begin();
    return run_.rate * std::pow(run_.factor, static_cast<double>(passed));
  }

 private:
  const ScheduleRun run_;
};

class StepKind final : public ScheduleKind {
 public:
  std::unique_ptr<Schedule> make(const ScheduleRun& run) const override { return std::make_unique<Step>(run); }
};

const Registration<ScheduleKind> kStep = registered<ScheduleKind, StepKind>("step", "it drops at lr-steps");

}  // namespace
}  // namespace residua
