#include "core/optim/schedules/warmup.h"

#include <utility>

namespace residua {
namespace {

class Warmup final : public Schedule {
 public:
  Warmup(std::unique_ptr<Schedule> schedule, WarmupKind kind, int64_t iterations, double rate)
      : schedule_(std::move(schedule)), kind_(kind), iterations_(iterations), rate_(rate) {}

  double rate(int64_t iteration) const override {
    if (iteration >= iterations_) {
      return schedule_->rate(iteration);
    }
    if (kind_ == WarmupKind::constant) {
      return rate_;
    }
    const double target = schedule_->rate(iterations_);
    const double done = static_cast<double>(iteration) / static_cast<double>(iterations_);
    return rate_ + (target - rate_) * done;
  }
  void observe(double error) override { schedule_->observe(error); }
  std::vector<double> numbers() const override { return schedule_->numbers(); }
  void set_numbers(std::span<const double> numbers) override { schedule_->set_numbers(numbers); }

 private:
  const std::unique_ptr<Schedule> schedule_;
  const WarmupKind kind_;
  const int64_t iterations_;
  const double rate_;
};

}  // namespace

std::unique_ptr<Schedule> with_warmup(std::unique_ptr<Schedule> schedule, WarmupKind kind, int64_t iterations, double rate) {
  return std::make_unique<Warmup>(std::move(schedule), kind, iterations, rate);
}

}  // namespace residua
