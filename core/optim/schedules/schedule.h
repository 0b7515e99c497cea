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

/// What a schedule has gathered by observing: its name, and numbers that are its own.
struct ScheduleState {
  std::string name = {};
  std::vector<double> numbers = {};

  bool operator==(const ScheduleState&) const = default;
};

/// For checkpoints. JSON has no infinity: it is written as null.
void to_json(nlohmann::json& json, const ScheduleState& state);
/// Reads it back, and also the bare array of a plateau schedule's numbers that checkpoints of format 1 hold for every schedule.
/// Fails with nlohmann::json::exception on anything else.
void from_json(const nlohmann::json& json, ScheduleState& state);

/// The learning rate over a training. Iterations are counted from 0.
class Schedule {
 public:
  Schedule() = default;
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;
  virtual ~Schedule() = default;

  /// The rate of the step that is made after `iteration` others.
  virtual double rate(int64_t iteration) const = 0;
  /// Tells the error of a validation, in any unit. A NaN is no improvement.
  virtual void observe(double /*error*/) {}
  /// Iterations between the training errors that it wants to be told; 0: it wants none.
  virtual int64_t training_window() const { return 0; }
  /// Tells how many of the images that were trained since the last call were classified wrongly, `iteration` steps into the
  /// run.
  virtual void observe_training(int64_t /*iteration*/, int64_t /*wrong*/, int64_t /*images*/) {}

  /// As registered.
  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }

  ScheduleState state() const { return {name_, numbers()}; }
  /// Goes on from a state. That of another schedule says nothing: this one begins anew. Fails on numbers that this schedule
  /// cannot have gathered.
  void restore(const ScheduleState& state);

  virtual std::vector<double> numbers() const { return {}; }
  virtual void set_numbers(std::span<const double> numbers);

 private:
  std::string name_;
};

/// What a schedule is made for.
struct ScheduleRun {
  double rate = 0.1;                     // the highest one
  double factor = 0.1;                   // of each fall
  std::vector<int64_t> boundaries = {};  // iterations that the user named, or half and three quarters of the run
  int64_t first_iteration = 0;           // after the warm-up
  int64_t total_iterations = 0;
};

/// A kind of schedule, with the options that are its own. To add one, write a file in core/optim/schedules that registers it
/// (core/base/registry.h).
class ScheduleKind {
 public:
  virtual ~ScheduleKind() = default;
  virtual void declare(Settings& /*settings*/) {}
  /// Fails with UsageError when an option is out of range.
  virtual std::unique_ptr<Schedule> make(const ScheduleRun& run) const = 0;
};

enum class WarmupKind : uint8_t { constant, linear, until_error };
template <>
inline constexpr auto kEnumText<WarmupKind> = enum_text<WarmupKind>({{WarmupKind::linear, "linear"},
                                                                     {WarmupKind::constant, "constant"},
                                                                     {WarmupKind::until_error, "until-error"}});

/// The learning rate of a run.
struct ScheduleOptions {
  double rate = 0.1;                            // after the warm-up
  std::optional<int64_t> rate_batch_size = {};  // a smaller batch takes the rate in proportion
  std::string name = "step";
  std::vector<double> steps = {};  // where `step` falls: epochs or iterations, as the run's length
  double factor = 0.1;             // of `step` and `plateau`
  WarmupKind warmup = WarmupKind::linear;
  int64_t warmup_iterations = 0;           // of linear and constant; 0: none
  double warmup_error = 80;                // %, of until_error
  std::optional<double> warmup_rate = {};  // default: a tenth of the rate
  Kinds<ScheduleKind> kinds = {};          // with their own options
};

void declare(Settings& settings, ScheduleOptions& options);

/// The unit of ScheduleOptions::steps.
enum class StepUnit : uint8_t { epochs, iterations };

struct RunLength {
  int64_t total_iterations = 0;
  int64_t iterations_per_epoch = 1;
  StepUnit step_unit = StepUnit::epochs;
};

/// The highest rate for batches of a size: in proportion below `rate_batch_size`, and never above `rate` (Goyal et al. 2017
/// need a warm-up for that).
double rate_for_batch(const ScheduleOptions& options, int64_t batch_size);

/// The schedule of a run, with its warm-up: for `warmup_iterations` the rate is the warm-up's (constant) or goes from it to the
/// schedule's own in a straight line (linear), or it is the warm-up's until the training error is low enough (until_error).
/// Fails with UsageError when an option is out of range, and when the warm-up is not shorter than the run.
std::unique_ptr<Schedule> make_schedule(const ScheduleOptions& options, const RunLength& length, int64_t batch_size);

}  // namespace residua
