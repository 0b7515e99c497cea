#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/kinds.h"
#include "core/config/settings.h"

namespace residua {

/// The state of a schedule: its name, and what it has observed, as numbers that only it interprets.
struct ScheduleState {
  std::string name = {};
  std::vector<double> numbers = {};

  bool operator==(const ScheduleState&) const = default;
};

/// For checkpoints. JSON has no infinity: it is written as null.
void to_json(nlohmann::json& json, const ScheduleState& state);
/// Reads it back. Also accepts the bare array of a plateau schedule's numbers, which checkpoints of format 1 hold for every
/// schedule. Fails with nlohmann::json::exception on anything else.
void from_json(const nlohmann::json& json, ScheduleState& state);

/// A learning-rate schedule. Iterations count from 0.
class Schedule {
 public:
  Schedule() = default;
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;
  virtual ~Schedule() = default;

  /// The learning rate of step `iteration`.
  virtual double rate(int64_t iteration) const = 0;
  /// Reports a validation error, in any unit. NaN does not count as an improvement.
  virtual void observe(double /*error*/) {}
  /// Iterations between calls of observe_training(); 0: the schedule does not use the training error.
  virtual int64_t training_window() const { return 0; }
  /// Reports after `iteration` steps how many of the `images` trained since the last call were misclassified.
  virtual void observe_training(int64_t /*iteration*/, int64_t /*wrong*/, int64_t /*images*/) {}

  /// The registered name.
  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }

  ScheduleState state() const { return {name_, numbers()}; }
  /// Restores a state. Ignores the state of another schedule and starts afresh. Fails on numbers that are not a state of this
  /// schedule.
  void restore(const ScheduleState& state);

  virtual std::vector<double> numbers() const { return {}; }
  virtual void set_numbers(std::span<const double> numbers);

 private:
  std::string name_;
};

/// The run that a schedule is made for.
struct ScheduleRun {
  double rate = 0.1;                     // peak learning rate
  double factor = 0.1;                   // of each drop
  std::vector<int64_t> boundaries = {};  // iterations, from lr-steps; default: half and three quarters of the run
  int64_t first_iteration = 0;           // after the warm-up
  int64_t total_iterations = 0;
};

/// A kind of schedule with its own options. To add one, write a file in core/optim/schedules that registers it
/// (core/base/registry.h).
class ScheduleKind {
 public:
  virtual ~ScheduleKind() = default;
  virtual void declare(Settings& /*settings*/) {}
  /// Fails with UsageError if an option is out of range.
  virtual std::unique_ptr<Schedule> make(const ScheduleRun& run) const = 0;
};

enum class WarmupKind : uint8_t { constant, linear, until_error };
template <>
inline constexpr auto kEnumText<WarmupKind> = enum_text<WarmupKind>({{WarmupKind::linear, "linear"},
                                                                     {WarmupKind::constant, "constant"},
                                                                     {WarmupKind::until_error, "until-error"}});

/// How the rate follows the batch size. down: a smaller batch scales it down in proportion, a larger one leaves it. linear:
/// both scale it (Goyal et al. 2017, section 2.1).
enum class RateScaling : uint8_t { down, linear };
template <>
inline constexpr auto kEnumText<RateScaling> = enum_text<RateScaling>({{RateScaling::down, "down"},
                                                                       {RateScaling::linear, "linear"}});

/// The learning rate of a run.
struct ScheduleOptions {
  double rate = 0.1;                            // after the warm-up
  std::optional<int64_t> rate_batch_size = {};  // the batch that the rate is for
  RateScaling rate_scaling = RateScaling::down;
  std::string name = "step";
  std::vector<double> steps = {};  // when `step` drops: epochs or iterations, as the run's length
  double factor = 0.1;             // of `step` and `plateau`
  WarmupKind warmup = WarmupKind::linear;
  int64_t warmup_iterations = 0;             // of linear and constant; 0: none
  std::optional<double> warmup_epochs = {};  // the same in epochs; then warmup_iterations is 0
  double warmup_error = 80;                  // %, of until_error
  std::optional<double> warmup_rate = {};    // default: first_rate()
  Kinds<ScheduleKind> kinds = {};            // with their own options
};

void declare(Settings& settings, ScheduleOptions& options);

/// The unit of ScheduleOptions::steps.
enum class StepUnit : uint8_t { epochs, iterations };

struct RunLength {
  int64_t total_iterations = 0;
  int64_t iterations_per_epoch = 1;
  StepUnit step_unit = StepUnit::epochs;
};

/// The peak learning rate for a batch size: rate * batch_size / rate_batch_size, but at most `rate` unless the scaling is
/// linear. A larger rate needs a warm-up (Goyal et al. 2017, section 2.2).
double rate_for_batch(const ScheduleOptions& options, int64_t batch_size);
/// "learning rate 1.6 = 0.1 x 4096 / 256"; empty if the batch size does not scale the rate.
std::string describe_scaling(const ScheduleOptions& options, int64_t batch_size);
/// The learning rate at the start of a warm-up if none is given: a tenth of the peak, as in the paper. With linear scaling that
/// of `rate_batch_size`, as in section 2.2 of Goyal et al. 2017.
double first_rate(const ScheduleOptions& options, int64_t batch_size);

/// The schedule of a run, with its warm-up. constant: the warm-up rate for `warmup_iterations`. linear: a straight line from
/// the warm-up rate to the schedule's own over `warmup_iterations`. until_error: the warm-up rate until the training error is
/// below `warmup_error`. Fails with UsageError if an option is out of range or the warm-up is not shorter than the run.
std::unique_ptr<Schedule> make_schedule(const ScheduleOptions& options, const RunLength& length, int64_t batch_size);

}  // namespace residua
