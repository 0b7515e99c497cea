#include "core/train/run_saver.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <new>
#include <utility>

#include "core/base/host_memory.h"

namespace residua {

namespace fs = std::filesystem;

constexpr int kLowestPriority = 19;

struct RunSaver::Saved {
  RunState state;
  StateSnapshot now;
  SafetensorsMetadata metadata;
  std::vector<HostArray> input;

  SafetensorsMetadata weights_metadata() const {
    SafetensorsMetadata all = metadata;
    all["iteration"] = std::to_string(state.iteration);
    if (state.exact_bn > 0) {
      all[kExactStatisticsKey] = std::to_string(state.exact_bn);
    }
    return all;
  }
  void write_weights(const std::string& path) const { save_weights(path, now, weights_metadata(), input); }
  void write_checkpoint(const std::string& path) const { save_run(path, state, now, metadata, input); }
};

RunSaver::RunSaver(const RunFolder& folder, Training& training, Schedule& schedule, int64_t keep, Communicator* ranks)
    : folder_(folder),
      training_(training),
      schedule_(schedule),
      keep_(static_cast<size_t>(keep)),
      ranks_(ranks != nullptr ? *ranks : alone_),
      has_best_(folder.writes() && fs::exists(best_path())) {}

RunSaver::~RunSaver() = default;  // the future's destructor waits

void RunSaver::resume(const std::string& checkpoint, RunState& state) {
  wait();
  const int64_t threads = state.fixed_threads;
  state = resume_run(checkpoint, state, training_.store());
  state.fixed_threads = threads;
  schedule_.restore(state.schedule);
  training_.step().metrics().reset(state.unreported);
  if (!has_best()) {
    state.best_error = RunState().best_error;  // from another folder: its best weights are not here
  }
  training_.scaler().restart(state.skipped_steps, state.skipped_in_a_row);
  // The scale of a run in another precision is 1, from which small gradients would underflow. Older checkpoints do not say.
  const bool scaled = state.machine.precision.empty() ? state.loss_scale != 1 : state.machine.precision == name(DType::f16);
  if (training_.precision() == DType::f16 && scaled) {
    training_.scaler().set_loss_scale(state.loss_scale, state.good_steps);
  }
  generations_.clear();
  if (!folder_.writes()) {
    return;
  }
  // Newer checkpoints than this one are damaged, or the user goes back: the next save removes them.
  std::error_code none;
  std::vector<std::string> paths = checkpoints_in(folder_.path());
  const auto own = std::ranges::find_if(paths, [&](const std::string& path) { return fs::equivalent(path, checkpoint, none); });
  std::transform(std::make_reverse_iterator(paths.end()), std::make_reverse_iterator(own), std::back_inserter(generations_),
                 [](const std::string& path) { return fs::path(path).filename().string(); });
}

void RunSaver::save(RunState& state, Save what) {
  wait();
  const StepState step = training_.step().state();
  state.loss_scale = step.loss_scale;
  state.good_steps = step.good_steps;
  state.skipped_steps = step.skipped_steps;
  state.skipped_in_a_row = step.skipped_in_a_row;
  check(step, state);
  state.schedule = schedule_.state();
  const std::string bad = of_rank_0(ranks_, folder_.writes() ? copy(state) : std::string());
  if (!bad.empty()) {
    fail_diverged(fmt::format("{} has values that are not finite", bad), state);
  }
  if (folder_.writes()) {
    start_writing(what);
  }
}

std::string RunSaver::copy(const RunState& state) {
  StateSnapshot memory;
  if (newest_ != nullptr && newest_.use_count() == 1) {  // else its best weights are still to be written
    memory = std::move(newest_->now);
  }
  newest_ = std::make_shared<Saved>(Saved{.state = state,
                                          .now = snapshot(training_.store(), std::move(memory)),
                                          .metadata = network_metadata(training_.network()),
                                          .input = input_arrays(training_.network())});
  return newest_->now.first_not_finite().value_or("");
}

void RunSaver::start_writing(Save what) {
  const std::shared_ptr<const Saved> saved = newest_;
  const int64_t iteration = saved->state.iteration;
  if (what == Save::best) {
    best_unwritten_ = saved;
    has_best_ = true;
  }
  last_unwritten_ = last_unwritten_ || what != Save::checkpoint;
  writing_kept_ = kept_with(iteration);
  // The checkpoint comes last: where it is, the weights that it speaks of are too.
  writing_ = std::async(
      std::launch::async,
      [saved, best = best_unwritten_, best_path = best_path(), last_path = last_unwritten_ ? folder_.file(kLastFile) : "",
       checkpoint = folder_.file(checkpoint_name(iteration)), folder = folder_.path(), kept = writing_kept_] {
        ::setpriority(PRIO_PROCESS, 0, kLowestPriority);  // of this thread: compute threads wait for the slowest of them
        if (!last_path.empty()) {
          saved->write_weights(last_path);
        }
        if (best != nullptr) {
          best->write_weights(best_path);
        }
        saved->write_checkpoint(checkpoint);
        remove_other_checkpoints(folder, kept);
      });
}

void RunSaver::check(const StepState& step, RunState state) {
  if (step.diverged_at > 0) {
    const int64_t later = steps_since_divergence(step);
    const int64_t steps = step.skipped_in_a_row - later;
    state.iteration -= later;
    fail_diverged(steps == 1 ? "the loss or a gradient is not finite"
                             : fmt::format("the loss or a gradient was not finite in {} steps in a row, the last", steps),
                  state);
  }
}

std::vector<std::string> RunSaver::kept_with(int64_t iteration) const {
  std::vector<std::string> names = generations_;
  std::erase(names, checkpoint_name(iteration));
  names.push_back(checkpoint_name(iteration));
  names.erase(names.begin(), names.end() - static_cast<std::ptrdiff_t>(std::min(names.size(), keep_)));
  return names;
}

void RunSaver::wait() {
  if (!writing_.valid()) {
    return;
  }
  try {
    writing_.get();
    generations_ = writing_kept_;
    best_unwritten_.reset();
    last_unwritten_ = false;
    failure_.reset();
  } catch (const std::bad_alloc&) {
    note_failure("out of memory on the host: " + describe_shortage(0, host_memory()));
  } catch (const std::exception& error) {
    note_failure(error.what());
  }
}

void RunSaver::note_failure(const std::string& reason) {
  ++failures_;
  failure_ = new_failure_ = reason;
}

std::string RunSaver::newest_checkpoint() {
  wait();
  return of_rank_0(ranks_, generations_.empty() ? "" : folder_.file(generations_.back()));
}

std::optional<std::string> RunSaver::take_failure() {
  if (!new_failure_ && writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    wait();
  }
  return std::exchange(new_failure_, std::nullopt);
}

void RunSaver::finish(RunState& state) {
  wait();
  if (!of_rank_0(ranks_, failure_.value_or("")).empty()) {
    save(state, Save::checkpoint);
    wait();
  }
  if (failure_) {
    fail("the run's last state could not be saved: {}; the files of earlier saves are as they were", *failure_);
  }
}

void RunSaver::fail_diverged(const std::string& what, const RunState& state) {
  wait();
  throw Diverged(fmt::format(
      "{} at iteration {}: lower the learning rate, add a warm-up, or use fp32; {}", what, state.iteration,
      generations_.empty() ? "no state has been saved yet" : "the last good state is in " + folder_.file(generations_.back())));
}

}  // namespace residua
