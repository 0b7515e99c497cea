// What a run does when its training diverges or needs too much memory.
#include <fmt/format.h>

#include <algorithm>

#include "core/train/diagnosis.h"
#include "core/train/fitting_batch.h"
#include "core/train/trainer.h"

namespace residua {

int Trainer::train(const volatile std::sig_atomic_t& stop) {
  while (true) {
    try {
      return with_advice([&] { return train_to_end(stop); }, [&] { return fitting_batch(training_, config_); });
    } catch (const Diverged& diverged) {
      const RunState failed = failed_state();
      const std::string what = fmt::format("{}; {}", diverged.what(), where_it_began(failed));
      const std::string checkpoint = saver_.newest_checkpoint();
      if (config_.divergence.on_divergence != OnDivergence::roll_back || state_.rollbacks > 0 || checkpoint.empty()) {
        report_->diverged(failed.iteration, what);
        throw Diverged(what);
      }
      roll_back(checkpoint, failed, what);
    }
  }
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
  std::string finding;
  try {
    const int64_t last = std::max<int64_t>(failed.epoch * loader_->batches() + failed.batch - 1, 0);
    loader_->start(last / loader_->batches(), last % loader_->batches());
    finding = where_not_finite(training_, config_, *loader_->next());
  } catch (const std::exception& error) {
    finding = fmt::format("cannot say where it began: {}", error.what());
  }
  return of_all_ranks(finding);  // also of a rank that has failed: the others wait for it
}

void Trainer::roll_back(const std::string& checkpoint, const RunState& failed, const std::string& what) {
  resume(checkpoint);
  training_.scaler().restart(failed.skipped_steps, 0);
  state_.epoch = failed.epoch;
  state_.batch = failed.batch;
  state_.reported_skips = failed.skipped_steps;
  state_.rollbacks = 1;
  report_.reset();
  report_ = make_reporter(/*resumed=*/true);
  report_->rolled_back(state_, failed.iteration, what);
  save(Save::checkpoint);
  saver_.wait();  // the next step must not be repeated from the state before
}

}  // namespace residua
