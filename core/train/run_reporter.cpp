#include "core/train/run_reporter.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace residua {

RunReporter::RunReporter(const RunFolder& folder, RunObserver& observer, const Options& options)
    : observer_(observer), options_(options) {
  if (folder.writes()) {
    log_.emplace(options.resumed_at ? EventLog::resume(folder.file(kLogFile), *options.resumed_at)
                                    : EventLog::create(folder.file(kLogFile)));
    tensorboard_.emplace(folder.path(), options.resumed_at ? options.resumed_at->iteration : -1);
  }
}

double RunReporter::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

int64_t RunReporter::batch_images(const RunState& state) const { return std::min(state.batch_size, options_.epoch_images); }

double RunReporter::epoch(const RunState& state) const {
  // The last batch may be smaller.
  const int64_t images = std::min(state.batch * batch_images(state), options_.epoch_images);
  return static_cast<double>(state.epoch) + static_cast<double>(images) / static_cast<double>(options_.epoch_images);
}

void RunReporter::train(const RunState& state, const Metrics& m, double rate, double wait_seconds, int64_t validations_left) {
  const double elapsed = seconds();
  const int64_t steps = state.iteration - reported_iteration_;
  const TrainRecord record{.iteration = state.iteration,
                           .epoch = epoch(state),
                           .loss = m.loss,
                           .top1_error = m.top1_error,
                           .top5_error = m.top5_error,
                           .lr = rate,
                           .images_per_second = static_cast<double>(images_) / elapsed,
                           .data_wait = (wait_seconds - wait_seconds_) / elapsed,
                           .seconds = elapsed};
  log(record);
  point("train/loss", state.iteration, record.loss);
  point("train/top1_error", state.iteration, record.top1_error);
  point("train/top5_error", state.iteration, record.top5_error);
  point("train/lr", state.iteration, record.lr);
  point("train/images_per_second", state.iteration, record.images_per_second);
  point("train/data_wait", state.iteration, record.data_wait);
  const auto left = static_cast<double>(options_.total_iterations - state.iteration);
  const double seconds_left = left * elapsed / static_cast<double>(std::max<int64_t>(steps, 1)) +
                              static_cast<double>(validations_left) * validation_seconds_;
  observer_.trained(record, options_.total_iterations, seconds_left);
  restart(state, wait_seconds);
}

void RunReporter::evaluation(const RunState& state, const std::string& type, const Metrics& m, double seconds) {
  const EvaluationRecord record{.type = type,
                                .iteration = state.iteration,
                                .epoch = epoch(state),
                                .images = m.images,
                                .loss = m.loss,
                                .top1_error = m.top1_error,
                                .top5_error = m.top5_error,
                                .seconds = seconds};
  log(record);
  point(type + "/loss", state.iteration, record.loss);
  point(type + "/top1_error", state.iteration, record.top1_error);
  point(type + "/top5_error", state.iteration, record.top5_error);
  observer_.evaluated(record);
}

void RunReporter::skipped_images(const RunState& state, const std::vector<std::string>& messages) {
  for (const std::string& message : messages) {
    note("skipped " + message);
    log(nlohmann::ordered_json{{"type", "skipped_image"}, {"iteration", state.iteration}, {"message", message}});
  }
}

void RunReporter::skipped_steps(const RunState& state, const StepState& step, bool scaled) {
  const int64_t steps = step.skipped_steps - state.reported_skips;
  log(nlohmann::ordered_json{{"type", "skipped_steps"},
                             {"iteration", state.iteration},
                             {"steps", steps},
                             {"in_a_row", step.skipped_in_a_row},
                             {"loss_scale", step.loss_scale}});
  note(fmt::format("skipped {} step{}: the loss or a gradient was not finite{}", steps, steps == 1 ? "" : "s",
                   scaled ? fmt::format("; the loss scale is now {}", step.loss_scale) : std::string()));
}

void RunReporter::diverged(int64_t iteration, const std::string& what) {
  log(nlohmann::ordered_json{{"type", "diverged"}, {"iteration", iteration}, {"message", what}});
}

void RunReporter::rolled_back(const RunState& state, int64_t failed, const std::string& what) {
  log(nlohmann::ordered_json{{"type", "rollback"},
                             {"iteration", state.iteration},
                             {"from", failed},
                             {"epoch", state.epoch},
                             {"batch", state.batch},
                             {"message", what}});
  note(fmt::format("{}\nthe run goes back to iteration {}, and on with batch {} of epoch {}", what, state.iteration,
                   state.batch, state.epoch));
}

void RunReporter::save_failed(const RunState& state, const std::string& reason, int64_t failures) {
  note(fmt::format("a save failed before iteration {}: {}; the run goes on and tries again with its next save", state.iteration,
                   reason));
  log(nlohmann::ordered_json{
      {"type", "save_failed"}, {"iteration", state.iteration}, {"message", reason}, {"failures", failures}});
}

void RunReporter::changed(const RunState& state, const ChangedSetting& setting) {
  note(fmt::format("{} is now {}; the run had {}", setting.name, setting.now.empty() ? "unset" : setting.now,
                   setting.before.empty() ? "it unset" : setting.before));
  log(nlohmann::ordered_json{{"type", "setting"},
                             {"iteration", state.iteration},
                             {"name", setting.name},
                             {"before", setting.before},
                             {"now", setting.now}});
}

void RunReporter::finish() {
  if (log_) {
    log_->flush();
    tensorboard_->flush();
  }
}

void RunReporter::end_validation(const RunState& state, double wait_seconds) {
  validation_seconds_ = seconds();
  restart(state, wait_seconds);
}

void RunReporter::restart(const RunState& state, double wait_seconds) {
  start_ = Clock::now();
  wait_seconds_ = wait_seconds;
  reported_iteration_ = state.iteration;
  images_ = 0;
}

}  // namespace residua
