// What a trainer saves and when, and its reports of saves and resuming.
#include <fmt/format.h>

#include "core/train/trainer.h"

namespace residua {

std::unique_ptr<RunReporter> Trainer::make_reporter(bool resumed) const {
  const LogPosition position{.iteration = state_.iteration, .validated = state_.validated, .tested = state_.tested};
  return std::make_unique<RunReporter>(folder_, observer_,
                                       RunReporter::Options{.resumed_at = resumed ? std::optional(position) : std::nullopt,
                                                            .total_iterations = length_.total_iterations,
                                                            .epoch_images = loader_->samples()});
}

void Trainer::report_changes(const Machine& now, const std::vector<ChangedSetting>& changes) {
  if (const std::string different = different_machine(state_.machine, now); !different.empty()) {
    report_->note(fmt::format("the last bits will differ from those of a run that was not stopped: {}", different));
  }
  state_.machine = now;
  for (const ChangedSetting& change : changes) {
    report_->changed(state_, change);
  }
}

void Trainer::save(Save what) {
  state_.unreported = told_;
  saver_.save(state_, what);
  checkpoints_.saved(state_.iteration);
}

void Trainer::save_first() {
  if (saver_.newest_checkpoint().empty()) {
    save(Save::checkpoint);
  }
}

void Trainer::save_if_due() {
  report_failed_saves();
  if (!wishes_.save) {
    return;
  }
  if (save_request_ != nullptr && *save_request_ != 0) {
    *save_request_ = 0;
    report_->note(fmt::format("saving the state at iteration {}, as asked", state_.iteration));
  }
  unreported();
  save(Save::checkpoint);
}

void Trainer::report_failed_saves() {
  if (const std::optional<std::string> reason = saver_.take_failure()) {
    report_->save_failed(state_, *reason, saver_.failures());
  }
}

void Trainer::save_unfinished(const char* what) {
  if (state_.iteration > 0) {
    unreported();
    save_first();
    save(Save::last);
    saver_.finish(state_);
    report_->note(
        fmt::format("{} at iteration {} of {}: resume the run to continue", what, state_.iteration, length_.total_iterations));
  }
}

void Trainer::save_after_error() {
  try {
    if (ranks_.alone()) {  // others do not know of the error, and wait for the next step
      save_unfinished("saved");
    }
  } catch (const std::exception& another) {
    report_->note(fmt::format("cannot save the state: {}", another.what()));
  }
}

void Trainer::finish_saving() {
  saver_.finish(state_);
  report_failed_saves();
  if (saver_.failures() > 0) {
    report_->note(fmt::format("saves that failed: {}; the last one succeeded", saver_.failures()));
  }
  report_->finish();
}

}  // namespace residua
