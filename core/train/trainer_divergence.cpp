// What a run does when its training diverges.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/train/diagnosis.h"
#include "core/train/trainer.h"

namespace residua {

int Trainer::train(const volatile std::sig_atomic_t& stop) {
  while (true) {
    try {
      return train_to_end(stop);
    } catch (const Diverged& diverged) {
      const RunState failed = failed_state();
      const std::string what = fmt::format("{}; {}", diverged.what(), where_it_began(failed));
      if (config_.divergence.on_divergence != OnDivergence::roll_back || state_.rollbacks > 0 ||
          !std::filesystem::exists(folder_.file(kCheckpointFile))) {
        report_->diverged(failed.iteration, what);
        throw Diverged(what);
      }
      roll_back(failed, what);
    }
  }
}

std::unique_ptr<RunReporter> Trainer::make_reporter(int64_t resumed_at) const {
  return std::make_unique<RunReporter>(
      folder_, observer_,
      RunReporter::Options{
          .resumed_at = resumed_at, .total_iterations = length_.total_iterations, .epoch_images = loader_->samples()});
}

RunState Trainer::failed_state() {
  const StepState step = training_.step().state();
  const int64_t later = steps_since_divergence(step);
  RunState failed = state_;
  const int64_t batches = failed.epoch * loader_->batches() + failed.batch - later;
  failed.epoch = batches / loader_->batches();
  failed.batch = batches % loader_->batches();
  failed.iteration -= later;
  failed.skipped_steps = step.skipped_steps - later;
  return failed;
}

std::string Trainer::where_it_began(const RunState& failed) {
  try {
    const int64_t last = std::max<int64_t>(failed.epoch * loader_->batches() + failed.batch - 1, 0);
    loader_->start(last / loader_->batches(), last % loader_->batches());
    return where_not_finite(training_, config_, *loader_->next());
  } catch (const std::exception& error) {
    return fmt::format("cannot say where it began: {}", error.what());
  }
}

void Trainer::roll_back(const RunState& failed, const std::string& what) {
  saver_.resume(folder_.file(kCheckpointFile), state_);
  training_.scaler().restart(failed.skipped_steps, 0);
  told_ = state_.unreported;
  state_.epoch = failed.epoch;
  state_.batch = failed.batch;
  state_.reported_skips = failed.skipped_steps;
  state_.rollbacks = 1;
  report_.reset();
  report_ = make_reporter(state_.iteration);
  report_->rolled_back(state_, failed.iteration, what);
  saver_.save(state_, false);
}

}  // namespace residua
