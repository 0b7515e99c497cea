#include "core/train/run_saver.h"

#include <fmt/format.h>

#include <filesystem>

namespace residua {

RunSaver::RunSaver(const RunFolder& folder, Training& training, Schedule& schedule)
    : folder_(folder), training_(training), schedule_(schedule) {}

bool RunSaver::has_best() const { return std::filesystem::exists(best_path()); }

void RunSaver::resume(const std::string& checkpoint, RunState& state) {
  state = resume_run(checkpoint, state, training_.store());
  schedule_.restore(state.schedule);
  training_.step().metrics().reset(state.unreported);
  if (!has_best()) {
    state.best_error = RunState().best_error;  // from another folder: its best weights are not here
  }
  // A run without loss scaling stores 1; starting fp16 from 1 would underflow small gradients.
  if (training_.precision() == DType::f16 && state.loss_scale != 1) {
    training_.scaler().set_loss_scale(state.loss_scale, state.good_steps);
  }
}

void RunSaver::save(RunState& state, bool best) {
  const StepState step = training_.step().state();
  state.loss_scale = step.loss_scale;
  state.good_steps = step.good_steps;
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

void RunSaver::fail_diverged(const std::string& what, const RunState& state) const {
  const std::string checkpoint = folder_.file(kCheckpointFile);
  throw Diverged(fmt::format(
      "{} at iteration {}: lower the learning rate, add a warm-up, or use fp32; {}", what, state.iteration,
      std::filesystem::exists(checkpoint) ? "the last good state is in " + checkpoint : "no state has been saved yet"));
}

}  // namespace residua
