#include <cmath>
#include <limits>

#include "core/optim/schedules/schedule.h"

namespace residua {
namespace {

struct PlateauOptions {
  int64_t patience = 5;     // validations without improvement that are tolerated
  double threshold = 1e-4;  // an improvement is an error below (1 - threshold) * best
};

/// rate * factor^(number of plateaus so far). A plateau is `patience` + 1 validations in a row without improvement, as in
/// PyTorch's ReduceLROnPlateau.
class Plateau final : public Schedule {
 public:
  Plateau(const ScheduleRun& run, const PlateauOptions& options) : run_(run), options_(options) {}

  double rate(int64_t /*iteration*/) const override {
    return run_.rate * std::pow(run_.factor, static_cast<double>(plateaus_));
  }

  void observe(double error) override {
    if (error < best_error_ * (1.0 - options_.threshold)) {
      best_error_ = error;
      bad_observations_ = 0;
    } else if (++bad_observations_ > options_.patience) {
      ++plateaus_;
      bad_observations_ = 0;
    }
  }

  std::vector<double> numbers() const override {
    return {best_error_, static_cast<double>(bad_observations_), static_cast<double>(plateaus_)};
  }

  void set_numbers(std::span<const double> numbers) override {
    const auto count_like = [](double x) { return x >= 0 && x <= 0x1p53 && std::floor(x) == x; };
    if (numbers.size() != 3 || std::isnan(numbers[0]) || !count_like(numbers[1]) || !count_like(numbers[2])) {
      fail(
          "learning-rate schedule plateau: the checkpoint's state of {} numbers is not valid; wanted the best error and two "
          "counts",
          numbers.size());
    }
    best_error_ = numbers[0];
    bad_observations_ = static_cast<int64_t>(numbers[1]);
    plateaus_ = static_cast<int64_t>(numbers[2]);
  }

 private:
  const ScheduleRun run_;
  const PlateauOptions options_;
  double best_error_ = std::numeric_limits<double>::infinity();
  int64_t bad_observations_ = 0;
  int64_t plateaus_ = 0;
};

class PlateauKind final : public ScheduleKind {
 public:
  void declare(Settings& s) override {
    s.number("lr-patience", options_.patience, between(0, 1e6),
             "Validations without improvement that the plateau schedule tolerates before it drops the rate.");
    s.number("lr-threshold", options_.threshold, between(0, 0.5),
             "Relative decrease of the validation error that the plateau schedule counts as an improvement.");
  }
  std::unique_ptr<Schedule> make(const ScheduleRun& run) const override { return std::make_unique<Plateau>(run, options_); }

 private:
  PlateauOptions options_;
};

const Registration<ScheduleKind> kPlateau =
    registered<ScheduleKind, PlateauKind>("plateau", "it drops when the validation error stops improving");

}  // namespace
}  // namespace residua
