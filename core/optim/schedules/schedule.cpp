#include "core/optim/schedules/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/join.h"
#include "core/optim/schedules/warmup.h"

namespace residua {
namespace {

void check(bool right, const char* setting, double got, const char* wanted) {
  if (!right) {
    fail_setting(setting, fmt::format("{}", got), wanted);
  }
}

void check_increasing(const std::vector<double>& steps) {
  if (!std::ranges::is_sorted(steps, std::ranges::less_equal())) {
    std::vector<std::string> words;
    std::ranges::transform(steps, std::back_inserter(words), [](double step) { return fmt::format("{}", step); });
    fail_setting("lr-steps", join(words, ","), "each larger than the one before");
  }
}

bool rate_like(double x) { return std::isfinite(x) && x >= 0; }

}  // namespace

void to_json(nlohmann::json& json, const ScheduleState& state) {
  nlohmann::json numbers = nlohmann::json::array();
  for (const double number : state.numbers) {
    numbers.push_back(std::isfinite(number) ? nlohmann::json(number) : nlohmann::json());
  }
  json = {{"name", state.name}, {"numbers", numbers}};
}

void from_json(const nlohmann::json& json, ScheduleState& state) {
  state = {.name = json.is_array() ? "plateau" : json.at("name").get<std::string>()};
  for (const nlohmann::json& number : json.is_array() ? json : json.at("numbers")) {
    state.numbers.push_back(number.is_null() ? std::numeric_limits<double>::infinity() : number.get<double>());
  }
}

void Schedule::restore(const ScheduleState& state) {
  if (state.name == name_) {
    set_numbers(state.numbers);
  }
}

void Schedule::set_numbers(std::span<const double> numbers) {
  if (!numbers.empty()) {
    fail("learning-rate schedule {}: the checkpoint holds {} numbers for it; wanted none", name_, numbers.size());
  }
}

void declare(Settings& s, ScheduleOptions& o) {
  s.number("lr", o.rate, above(0), "Peak learning rate.");
  s.number("lr-batch-size", o.rate_batch_size, between(1, 1 << 20),
           "Batch size that lr is meant for: a smaller batch scales lr down in proportion; for a larger one see lr-scaling. "
           "If you give lr but not this, lr is not scaled.");
  s.choice("lr-scaling", o.rate_scaling,
           "How lr follows the batch size. down: a batch smaller than lr-batch-size scales lr down. linear: a larger one also "
           "scales it up in proportion, which needs a warm-up (Goyal et al. 2017).");
  s.choice("lr-schedule", o.name, Registry<ScheduleKind>::names(), "Learning-rate schedule. " + help_of_kinds<ScheduleKind>());
  s.numbers("lr-steps", o.steps, above(0),
            "When the step schedule drops the rate: a list of iterations if the run's length is in iterations, else of epochs.")
      .checked_by([&o] { check_increasing(o.steps); })
      .default_is("1/2 and 3/4 of the run");
  s.number("lr-factor", o.factor, {.low = 0, .high = 1, .above_low = true},
           "Factor that the step and plateau schedules multiply the rate by at each drop.");
  s.number("warmup-iterations", o.warmup_iterations, between(0, 1e12),
           "Length of the linear or constant warm-up in iterations; 0: no warm-up.");
  s.number("warmup-epochs", o.warmup_epochs, above(0),
           "The same in epochs; fractions are allowed. Overridden by warmup-iterations of the same layer: flags, file or "
           "recipe.");
  s.choice("warmup", o.warmup,
           "Kind of warm-up. linear: from warmup-lr to the schedule's rate in a straight line. constant: warmup-lr throughout. "
           "until-error: warmup-lr until the training error falls below warmup-error, as in the paper for ResNet-110.");
  s.number("warmup-error", o.warmup_error, {.low = 0, .high = 100, .above_low = true},
           "Top-1 training error in percent that ends the until-error warm-up; checked every 100 iterations, over those 100.");
  s.number("warmup-lr", o.warmup_rate, above(0), "Learning rate at the start of a linear warm-up, or throughout another one.")
      .default_is("a tenth of the learning rate; with lr-scaling linear, the unscaled lr");
  o.kinds.declare(s);
}

double rate_for_batch(const ScheduleOptions& o, int64_t batch_size) {
  if (!o.rate_batch_size) {
    return o.rate;
  }
  const double scale = static_cast<double>(batch_size) / static_cast<double>(*o.rate_batch_size);
  return o.rate * (o.rate_scaling == RateScaling::linear ? scale : std::min(1.0, scale));
}

std::string describe_scaling(const ScheduleOptions& o, int64_t batch_size) {
  const double rate = rate_for_batch(o, batch_size);
  return rate == o.rate ? ""
                        : fmt::format("learning rate {:.6g} = {:.6g} x {} / {}", rate, o.rate, batch_size, *o.rate_batch_size);
}

double first_rate(const ScheduleOptions& o, int64_t batch_size) {
  const double rate = rate_for_batch(o, batch_size);
  return o.rate_scaling == RateScaling::linear && o.rate_batch_size ? std::min(o.rate, rate) : 0.1 * rate;
}

namespace {

/// The length of a warm-up, and who set it.
struct WarmupLength {
  int64_t iterations;
  const char* setting;
  std::string words;
};
WarmupLength warmup_of(const ScheduleOptions& o, const RunLength& length) {
  if (!o.warmup_epochs) {
    return {o.warmup_iterations, "warmup-iterations", fmt::format("{}", o.warmup_iterations)};
  }
  check(rate_like(*o.warmup_epochs), "warmup-epochs", *o.warmup_epochs, "a finite number that is not negative");
  return {std::llround(*o.warmup_epochs * static_cast<double>(length.iterations_per_epoch)), "warmup-epochs",
          fmt::format("{}", *o.warmup_epochs)};
}

}  // namespace

std::unique_ptr<Schedule> make_schedule(const ScheduleOptions& o, const RunLength& length, int64_t batch_size) {
  const double rate = rate_for_batch(o, batch_size);
  const double warmup_rate = o.warmup_rate.value_or(first_rate(o, batch_size));
  check(rate_like(rate), "lr", o.rate, "a finite number that is not negative");
  check(rate_like(warmup_rate), "warmup-lr", warmup_rate, "a finite number that is not negative");
  check(o.factor > 0 && o.factor <= 1, "lr-factor", o.factor, "above 0, at most 1");
  check(o.warmup_iterations >= 0, "warmup-iterations", static_cast<double>(o.warmup_iterations), "0 or more");
  const auto [warmup_iterations, warmup_setting, warmup_words] = warmup_of(o, length);
  check_increasing(o.steps);
  const bool until_error = o.warmup == WarmupKind::until_error;
  if (until_error && warmup_iterations > 0) {
    fail_setting(warmup_setting, warmup_words, "none: the until-error warm-up has no fixed length");
  }
  check(o.warmup_error > 0 && o.warmup_error <= 100, "warmup-error", o.warmup_error, "above 0, at most 100");
  if (warmup_iterations > 0 && warmup_iterations >= length.total_iterations) {
    fail_setting(warmup_setting, warmup_words, fmt::format("fewer than the {} iterations of the run", length.total_iterations));
  }
  ScheduleRun run{
      .rate = rate, .factor = o.factor, .first_iteration = warmup_iterations, .total_iterations = length.total_iterations};
  const double unit = length.step_unit == StepUnit::iterations ? 1.0 : static_cast<double>(length.iterations_per_epoch);
  for (const double step : o.steps) {
    check(step >= 0, "lr-steps", step, "0 or more");
    run.boundaries.push_back(std::llround(step * unit));
  }
  if (o.steps.empty() && length.total_iterations >= 4) {
    run.boundaries = {length.total_iterations / 2, length.total_iterations * 3 / 4};
  }
  std::unique_ptr<Schedule> schedule = o.kinds.at("lr-schedule", o.name).make(run);
  schedule->set_name(o.name);
  if (until_error) {  // its state differs from the schedule's own
    schedule = with_warmup_until_error(std::move(schedule), o.warmup_error, warmup_rate);
    schedule->set_name("until-error, " + o.name);
  } else if (warmup_iterations > 0) {
    schedule = with_warmup(std::move(schedule), o.warmup, warmup_iterations, warmup_rate);
    schedule->set_name(o.name);
  }
  return schedule;
}

}  // namespace residua
