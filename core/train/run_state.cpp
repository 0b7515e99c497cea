#include "core/train/run_state.h"

#include <omp.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/join.h"
#include "core/data/digest.h"
#include "core/device/device_api.h"
#include "core/run/run_folder.h"

namespace residua {
namespace {

/// Fails unless a run with the initial state `begun` can resume from `saved`.
void check_resumable(const std::string& path, const RunState& saved, const RunState& begun) {
  if (saved.model != begun.model) {
    fail_usage("{} is a checkpoint of the model {}, but this run trains {}", path, saved.model, begun.model);
  }
  if (saved.seed != begun.seed || saved.batch_size != begun.batch_size) {
    fail_usage(
        "{} was made with seed {} and batch size {}, but this run has seed {} and batch size {}: the order of images would "
        "differ",
        path, saved.seed, saved.batch_size, begun.seed, begun.batch_size);
  }
  if (saved.fixed_threads != 0 && begun.fixed_threads != 0 && saved.fixed_threads != begun.fixed_threads) {
    fail_setting("threads", fmt::format("{}", begun.fixed_threads),
                 fmt::format("{}, as {} was made with: a deterministic run depends on the number of threads",
                             saved.fixed_threads, path));
  }
  const std::string weights = weights_beside(path);
  const std::string advice =
      weights.empty() ? std::string() : fmt::format("; a new run can start from its weights in {}", weights);
  const std::string classes =
      saved.class_names.empty() ? std::string() : different_class_names(saved.class_names, begun.class_names);
  if (!classes.empty()) {
    fail_usage("{} was made with other classes, so labels would not match: {}; restore the old class names{}", path, classes,
               advice);
  }
  if (saved.images != 0 && saved.images != begun.images) {
    fail_usage("{} was made with {} training images, but this run has {}: the order of images would differ{}", path,
               saved.images, begun.images, advice);
  }
  const auto check_set = [&](const char* which, const std::string& before, const std::string& now) {
    if (!before.empty() && before != now) {
      fail_usage("{} was made with other {} images: the number is the same, but paths, labels or order differ{}", path, which,
                 advice);
    }
  };
  check_set("training", saved.train_set, begun.train_set);
  if (!saved.validation_set.empty() && saved.validation_set != begun.validation_set) {
    fail_usage(
        "{} was made with other validation images: paths, labels or order differ, so the best error would not be comparable{}",
        path, advice);
  }
}

}  // namespace

Machine this_machine(Device device, DType precision, int64_t processes) {
  const device_api::DeviceDescription processor = device_api::describe(device);
  return {.device = fmt::format("{}, {} ({})", device.string(), processor.name, processor.instructions),
          .precision = std::string(name(precision)),
          .threads = omp_get_max_threads(),
          .processes = processes};
}

std::string different_machine(const Machine& before, const Machine& now) {
  if (before.device.empty()) {
    return "";
  }
  std::vector<std::string> differences;
  const auto compare = [&](const char* what, const auto& old, const auto& current) {
    if (old != current) {
      differences.push_back(fmt::format("{}: {} before, {} now", what, old, current));
    }
  };
  compare("device", before.device, now.device);
  compare("precision", before.precision, now.precision);
  compare("threads", before.threads, now.threads);
  compare("ranks", before.processes, now.processes);
  return join(differences, "; ");
}

nlohmann::json to_json(const RunState& s) {
  return {{"model", s.model},
          {"epoch", s.epoch},
          {"batch", s.batch},
          {"iteration", s.iteration},
          {"validated", s.validated},
          {"tested", s.tested},
          {"seed", s.seed},
          {"batch_size", s.batch_size},
          {"images", s.images},
          {"train_set", s.train_set},
          {"validation_set", s.validation_set},
          {"class_names", s.class_names},
          {"best_error", s.best_error},
          {"schedule", s.schedule},
          {"loss_scale", s.loss_scale},
          {"good_steps", s.good_steps},
          {"skipped_steps", s.skipped_steps},
          {"skipped_in_a_row", s.skipped_in_a_row},
          {"reported_skips", s.reported_skips},
          {"rollbacks", s.rollbacks},
          {"fixed_threads", s.fixed_threads},
          {"exact_bn", s.exact_bn},
          {"unreported",
           {{"images", s.unreported.images},
            {"loss", s.unreported.loss},
            {"top1_errors", s.unreported.top1_errors},
            {"top5_errors", s.unreported.top5_errors}}},
          {"batches_tracked", s.batches_tracked},
          {"machine",
           {{"device", s.machine.device},
            {"precision", s.machine.precision},
            {"threads", s.machine.threads},
            {"processes", s.machine.processes}}}};
}

RunState run_state(const Checkpoint& checkpoint) {
  try {
    const nlohmann::json& j = checkpoint.state;
    RunState s;
    j.at("model").get_to(s.model);
    j.at("epoch").get_to(s.epoch);
    j.at("batch").get_to(s.batch);
    j.at("iteration").get_to(s.iteration);
    s.validated = j.value("validated", s.iteration);
    s.tested = j.value("tested", int64_t{0});
    j.at("seed").get_to(s.seed);
    j.at("batch_size").get_to(s.batch_size);
    // Format 1 may lack the number of images; it has no set digests or class names.
    s.images = j.value("images", int64_t{0});
    s.train_set = j.value("train_set", std::string());
    s.validation_set = j.value("validation_set", std::string());
    s.class_names = j.value("class_names", std::vector<std::string>());
    j.at("best_error").get_to(s.best_error);
    j.at("schedule").get_to(s.schedule);
    j.at("loss_scale").get_to(s.loss_scale);
    j.at("good_steps").get_to(s.good_steps);
    s.skipped_steps = j.value("skipped_steps", int64_t{0});  // older checkpoints lack this and the next three
    s.skipped_in_a_row = j.value("skipped_in_a_row", int64_t{0});
    s.reported_skips = j.value("reported_skips", int64_t{0});
    s.rollbacks = j.value("rollbacks", int64_t{0});
    s.fixed_threads = j.value("fixed_threads", int64_t{0});                     // older checkpoints lack it
    s.exact_bn = j.value("exact_bn", int64_t{0});                               // older checkpoints lack it
    if (const auto unreported = j.find("unreported"); unreported != j.end()) {  // older checkpoints lack it
      unreported->at("images").get_to(s.unreported.images);
      unreported->at("loss").get_to(s.unreported.loss);
      unreported->at("top1_errors").get_to(s.unreported.top1_errors);
      unreported->at("top5_errors").get_to(s.unreported.top5_errors);
    }
    j.at("batches_tracked").get_to(s.batches_tracked);
    if (const auto machine = j.find("machine"); machine != j.end()) {  // older checkpoints lack it
      machine->at("device").get_to(s.machine.device);
      machine->at("precision").get_to(s.machine.precision);
      machine->at("threads").get_to(s.machine.threads);
      machine->at("processes").get_to(s.machine.processes);
    }
    return s;
  } catch (const nlohmann::json::exception& error) {
    fail_usage("{}: the run's state is damaged: {}", checkpoint.path, error.what());
  }
}

void save_run(const std::string& path, RunState state, const StateSnapshot& snapshot, const SafetensorsMetadata& metadata,
              std::span<const HostArray> input) {
  state.batches_tracked = snapshot.batches_tracked;
  std::vector<HostArrayView> arrays = checkpoint_arrays(snapshot);
  std::ranges::copy(views(input), std::back_inserter(arrays));
  save_checkpoint(path, to_json(state), arrays, metadata);
}

RunState resume_run(const std::string& path, const RunState& begun, ParameterStore& store) {
  const Checkpoint checkpoint = load_checkpoint(path);
  RunState saved = run_state(checkpoint);
  check_resumable(path, saved, begun);
  restore(path, checkpoint.arrays, saved.batches_tracked, store);
  return saved;
}

}  // namespace residua
