#include "core/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/base/error.h"

namespace residua {
namespace {

void check(bool right, const char* what, double got, const char* wanted) {
  if (!right) {
    fail_usage("learning-rate schedule: {} is {}, wanted {}", what, got, wanted);
  }
}

}  // namespace

ScheduleKind parse_schedule(std::string_view name) {
  if (name == "constant") {
    return ScheduleKind::constant;
  }
  if (name == "step") {
    return ScheduleKind::step;
  }
  if (name == "plateau") {
    return ScheduleKind::plateau;
  }
  if (name == "cosine") {
    return ScheduleKind::cosine;
  }
  fail_usage("unknown learning-rate schedule '{}': wanted constant, step, plateau or cosine", name);
}

WarmupKind parse_warmup(std::string_view name) {
  if (name == "constant") {
    return WarmupKind::constant;
  }
  if (name == "linear") {
    return WarmupKind::linear;
  }
  fail_usage("unknown warm-up '{}': wanted constant or linear", name);
}

Schedule::Schedule(const ScheduleOptions& options) : options_(options), best_error_(std::numeric_limits<double>::infinity()) {
  const auto rate_like = [](double x) { return std::isfinite(x) && x >= 0; };
  check(rate_like(options.rate), "the rate", options.rate, "a finite number that is not negative");
  check(rate_like(options.warmup_rate), "the warm-up's rate", options.warmup_rate, "a finite number that is not negative");
  check(rate_like(options.final_rate), "the final rate", options.final_rate, "a finite number that is not negative");
  check(options.factor > 0 && options.factor <= 1, "the factor", options.factor, "above 0, at most 1");
  check(options.threshold >= 0 && options.threshold < 1, "the threshold", options.threshold, "0 or more, below 1");
  check(options.patience >= 0, "the patience", static_cast<double>(options.patience), "0 or more");
  check(options.warmup_iterations >= 0, "the length of the warm-up", static_cast<double>(options.warmup_iterations),
        "0 or more");
  for (size_t i = 0; i < options.boundaries.size(); ++i) {
    check(options.boundaries[i] >= 0, "a step", static_cast<double>(options.boundaries[i]), "0 or more");
    check(i == 0 || options.boundaries[i] > options.boundaries[i - 1], "a step", static_cast<double>(options.boundaries[i]),
          "each step after the one before");
  }
  check(options.kind != ScheduleKind::cosine || options.total_iterations > options.warmup_iterations,
        "the number of iterations", static_cast<double>(options.total_iterations),
        "more than the warm-up takes (a cosine must know where it ends)");
}

double Schedule::rate_after_warmup(int64_t iteration) const {
  switch (options_.kind) {
    case ScheduleKind::constant: return options_.rate;
    case ScheduleKind::step: {
      const auto passed = std::ranges::upper_bound(options_.boundaries, iteration) - options_.boundaries.begin();
      return options_.rate * std::pow(options_.factor, static_cast<double>(passed));
    }
    case ScheduleKind::plateau: return options_.rate * std::pow(options_.factor, static_cast<double>(plateaus_));
    case ScheduleKind::cosine: {
      const double length = static_cast<double>(options_.total_iterations - options_.warmup_iterations);
      const double done = std::clamp(static_cast<double>(iteration - options_.warmup_iterations) / length, 0.0, 1.0);
      return options_.final_rate + (options_.rate - options_.final_rate) * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
    }
  }
  return options_.rate;
}

double Schedule::rate(int64_t iteration) const {
  if (iteration >= options_.warmup_iterations) {
    return rate_after_warmup(iteration);
  }
  if (options_.warmup == WarmupKind::constant) {
    return options_.warmup_rate;
  }
  const double target = rate_after_warmup(options_.warmup_iterations);
  const double done = static_cast<double>(iteration) / static_cast<double>(options_.warmup_iterations);
  return options_.warmup_rate + (target - options_.warmup_rate) * done;
}

void Schedule::observe(double error) {
  if (options_.kind != ScheduleKind::plateau) {
    return;
  }
  if (error < best_error_ * (1.0 - options_.threshold)) {
    best_error_ = error;
    bad_observations_ = 0;
  } else if (++bad_observations_ > options_.patience) {
    ++plateaus_;
    bad_observations_ = 0;
  }
}

std::vector<double> Schedule::state() const {
  return {best_error_, static_cast<double>(bad_observations_), static_cast<double>(plateaus_)};
}

void Schedule::restore(std::span<const double> state) {
  const auto count_like = [](double x) { return x >= 0 && x <= 0x1p53 && std::floor(x) == x; };
  if (state.size() != 3 || std::isnan(state[0]) || !count_like(state[1]) || !count_like(state[2])) {
    fail("learning-rate schedule: a checkpoint holds {} numbers that are no state of it; wanted the best error and two counts",
         state.size());
  }
  best_error_ = state[0];
  bad_observations_ = static_cast<int64_t>(state[1]);
  plateaus_ = static_cast<int64_t>(state[2]);
}

}  // namespace residua
