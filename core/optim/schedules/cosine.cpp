#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/optim/schedules/schedule.h"

namespace residua {
namespace {

/// Half a cosine from the peak rate after the warm-up to the final rate at the end of the run (Loshchilov and Hutter 2017, eq.
/// 5, without restarts).
class Cosine final : public Schedule {
 public:
  Cosine(const ScheduleRun& run, double final_rate) : run_(run), final_rate_(final_rate) {
    if (run.total_iterations <= run.first_iteration) {
      fail_usage(
          "a cosine schedule needs at least one iteration after the warm-up: got a run of {} iterations with a warm-up of {}",
          run.total_iterations, run.first_iteration);
    }
    if (!(final_rate <= run.rate)) {
      fail_setting("lr-final", fmt::format("{}", final_rate), fmt::format("at most the learning rate of {}", run.rate));
    }
  }

  double rate(int64_t iteration) const override {
    const double length = static_cast<double>(run_.total_iterations - run_.first_iteration);
    const double done = std::clamp(static_cast<double>(iteration - run_.first_iteration) / length, 0.0, 1.0);
    return final_rate_ + (run_.rate - final_rate_) * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  }

 private:
  const ScheduleRun run_;
  const double final_rate_;
};

class CosineKind final : public ScheduleKind {
 public:
  void declare(Settings& s) override {
    s.number("lr-final", final_rate_, at_least(0), "Learning rate at the end of the cosine schedule.");
  }
  std::unique_ptr<Schedule> make(const ScheduleRun& run) const override { return std::make_unique<Cosine>(run, final_rate_); }

 private:
  double final_rate_ = 0.0;
};

const Registration<ScheduleKind> kCosine =
    registered<ScheduleKind, CosineKind>("cosine", "it follows half a cosine down to lr-final at the end of the run");

}  // namespace
}  // namespace residua
