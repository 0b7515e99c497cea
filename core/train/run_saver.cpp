#include "core/train/run_saver.h"

#include <fmt/format.h>

#include <filesystem>

namespace residua {

RunSaver::RunSaver(const RunFolder& folder, Training& training, Schedule& schedule)
    : folder_(folder), training_(training), schedule_(schedule) {}

bool RunSaver::has_best() const { return std::filesystem::exists(best_path()); }

void RunSaver::resume(const std::string& checkpoint, RunState& state) {
  const int64_t threads = state.fixed_threads;
  state = resume_run(checkpoint, state, training_.store());
  state.fixed_threads = threads;
  schedule_.restore(state.schedule);
  training_.step().metrics().reset(state.unreported);
  if (!has_best()) {
    state.best_error = RunState().best_error;  // from another folder: its best weights are not here
  }
  training_.scaler().restart(state.skipped_steps, state.skipped_in_a_row);
  // A run without loss scaling stores 1; starting fp16 from 1 would underflow small gradients.
  if (training_.precision() == DType::f16 && state.loss_scale != 1) {
    training_.scaler().set_loss_scale(state.loss_scale, state.good_steps);
  }
}

void RunSaver::save(RunState& state, bool best) {
  const StepState step = training_.step().state();
  state.loss_scale = step.loss_scale;
  state.good_steps = step.good_steps;
  state.skipped_steps = step.skipped_steps;
  state.skipped_in_a_row = step.skipped_in_a_row;
  check(step, state);
  state.schedule = schedule_.state();
  state.unreported = training_.step().metrics().totals();
  const StateSnapshot now = snapshot(training_.store());
  if (const std::optional<std::string> name = now.first_not_finite()) {
    fail_diverged(fmt::format("{} has values that are not finite", *name), state);
  }
  SafetensorsMetadata metadata = network_metadata(training_.network());
  metadata["iteration"] = std::to_string(state.iteration);
  if (state.exact_bn > 0) {
    metadata[kExactStatisticsKey] = std::to_string(state.exact_bn);
  }
  const std::vector<HostArray> input = input_arrays(training_.network());
  save_weights(folder_.file(kLastFile), now, metadata, input);
  if (best) {
    save_weights(best_path(), now, metadata, input);
  }
  save_run(folder_.file(kCheckpointFile), state, now);
}

void RunSaver::check(const StepState& step, RunState state) const {
  if (step.diverged_at > 0) {
    const int64_t later = steps_since_divergence(step);
    const int64_t steps = step.skipped_in_a_row - later;
    state.iteration -= later;
    fail_diverged(steps == 1 ? "the loss or a gradient is not finite"
                             : fmt::format("the loss or a gradient was not finite in {} steps in a row, the last", steps),
                  state);
  }
}

void RunSaver::fail_diverged(const std::string& what, const RunState& state) const {
  const std::string checkpoint = folder_.file(kCheckpointFile);
  throw Diverged(fmt::format(
      "{} at iteration {}: lower the learning rate, add a warm-up, or use fp32; {}", what, state.iteration,
      std::filesystem::exists(checkpoint) ? "the last good state is in " + checkpoint : "no state has been saved yet"));
}

}  // namespace residua
