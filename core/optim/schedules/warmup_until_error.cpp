#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/optim/schedules/warmup.h"

namespace residua {
namespace {

class WarmupUntilError final : public Schedule {
 public:
  WarmupUntilError(std::unique_ptr<Schedule> schedule, double error, double rate)
      : schedule_(std::move(schedule)), error_(error), rate_(rate) {}

  double rate(int64_t iteration) const override { return ended_ ? schedule_->rate(iteration) : rate_; }
  void observe(double error) override { schedule_->observe(error); }

  int64_t training_window() const override { return ended_ ? 0 : kWarmupWindow; }
  void observe_training(int64_t iteration, int64_t wrong, int64_t images) override {
    if (ended_) {
      return;
    }
    wrong_ += wrong;
    images_ += images;
    if (iteration % kWarmupWindow == 0) {
      ended_ = images_ > 0 && 100.0 * static_cast<double>(wrong_) < error_ * static_cast<double>(images_);
      wrong_ = images_ = 0;
    }
  }

  std::vector<double> numbers() const override {
    std::vector<double> numbers{ended_ ? 1.0 : 0.0, static_cast<double>(wrong_), static_cast<double>(images_)};
    const std::vector<double> own = schedule_->numbers();
    numbers.insert(numbers.end(), own.begin(), own.end());
    return numbers;
  }
  void set_numbers(std::span<const double> numbers) override {
    const auto count_like = [](double x) { return x >= 0 && x <= 0x1p53 && std::floor(x) == x; };
    if (numbers.size() < kNumbers || !std::ranges::all_of(numbers.first(kNumbers), count_like)) {
      fail("the until-error warm-up: the checkpoint's state of {} numbers is not valid; wanted {} counts", numbers.size(),
           kNumbers);
    }
    if (const auto own = numbers.subspan(kNumbers); !own.empty()) {
      schedule_->set_numbers(own);
    }
    ended_ = numbers[0] != 0;
    wrong_ = std::llround(numbers[1]);
    images_ = std::llround(numbers[2]);
  }

 private:
  static constexpr size_t kNumbers = 3;

  const std::unique_ptr<Schedule> schedule_;
  const double error_;  // %
  const double rate_;
  bool ended_ = false;
  int64_t wrong_ = 0, images_ = 0;  // in this window so far
};

}  // namespace

std::unique_ptr<Schedule> with_warmup_until_error(std::unique_ptr<Schedule> schedule, double error, double rate) {
  return std::make_unique<WarmupUntilError>(std::move(schedule), error, rate);
}

}  // namespace residua
