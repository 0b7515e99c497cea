/// A schedule: rate * (1 - done)^power, `done` being the share of the run after the warm-up.
#include <algorithm>
#include <cmath>

#include "core/optim/schedules/schedule.h"

namespace residua {
namespace {

class Polynomial final : public Schedule {
 public:
  Polynomial(const ScheduleRun& run, double power) : run_(run), power_(power) {}

  double rate(int64_t iteration) const override {
    const double length = static_cast<double>(run_.total_iterations - run_.first_iteration);
    const double done = std::clamp(static_cast<double>(iteration - run_.first_iteration) / length, 0.0, 1.0);
    return run_.rate * std::pow(1 - done, power_);
  }

 private:
  const ScheduleRun run_;
  const double power_;
};

class PolynomialKind final : public ScheduleKind {
 public:
  void declare(Settings& settings) override {
    settings.number("polynomial-power", power_, between(0, 10), "Power of the polynomial schedule: 1 is a straight line.");
  }
  std::unique_ptr<Schedule> make(const ScheduleRun& run) const override { return std::make_unique<Polynomial>(run, power_); }

 private:
  double power_ = 1;
};

const auto kPolynomial =
    registered<ScheduleKind, PolynomialKind>("polynomial", "it falls as a power of what is left of the run");

}  // namespace
}  // namespace residua
