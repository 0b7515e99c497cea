#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace residua {

enum class ScheduleKind : uint8_t { constant, step, plateau, cosine };
enum class WarmupKind : uint8_t { constant, linear };

/// Fails with UsageError that lists the names.
ScheduleKind parse_schedule(std::string_view name);
WarmupKind parse_warmup(std::string_view name);

/// Iterations are counted from 0 over the whole training.
struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::step;
  double rate = 0.1;                     // after the warm-up
  std::vector<int64_t> boundaries = {};  // step: from each of these iterations on, the rate is multiplied by `factor` once more
  double factor = 0.1;                   // step and plateau
  int64_t patience = 5;                  // plateau: observations without improvement that are borne
  double threshold = 1e-4;               // plateau: an improvement is an error below (1 - threshold) * best
  double final_rate = 0.0;               // cosine: at `total_iterations`
  int64_t total_iterations = 0;          // cosine
  WarmupKind warmup = WarmupKind::linear;
  int64_t warmup_iterations = 0;  // 0: none
  double warmup_rate = 0.01;      // constant: the rate of the warm-up (the paper's ResNet-110); linear: where it starts
};

/// The learning rate over the training.
/// constant: rate. step: rate * factor^(number of boundaries <= iteration). plateau: rate * factor^(number of plateaus seen), a
/// plateau being `patience` + 1 observations in a row without improvement (PyTorch's ReduceLROnPlateau). cosine: from rate at
/// the end of the warm-up to final_rate at total_iterations along half a cosine (Loshchilov and Hutter 2017, eq. 5, without
/// restarts). During the warm-up the rate is warmup_rate (constant) or goes from warmup_rate to the schedule's own in a
/// straight line.
class Schedule {
 public:
  /// Fails with UsageError when an option is out of range.
  explicit Schedule(const ScheduleOptions& options);

  const ScheduleOptions& options() const { return options_; }
  double rate(int64_t iteration) const;

  /// Plateau only, others ignore it: tells the error of a validation; the patience is counted in those. A NaN is no
  /// improvement.
  void observe(double error);

  /// What `observe` has gathered, for checkpoints, and back. `restore` fails on a state that no schedule can be in.
  std::vector<double> state() const;
  void restore(std::span<const double> state);

 private:
  double rate_after_warmup(int64_t iteration) const;

  ScheduleOptions options_;
  double best_error_;
  int64_t bad_observations_ = 0;
  int64_t plateaus_ = 0;
};

}  // namespace residua
