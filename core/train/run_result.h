#pragma once

#include <csignal>
#include <nlohmann/json.hpp>
#include <string>

#include "core/run/run_folder.h"
#include "core/train/run_description.h"
#include "core/train/trainer.h"

namespace residua {

/// Writes run.json, which is to_json(description), to the run's folder. Then calls Trainer::train(), and writes result.json
/// when the run is finished or has diverged ("diverged": true; the exception propagates). Removes an earlier result.json; a
/// stopped run has none.
int train_with_result(Trainer& trainer, const RunFolder& folder, const RunDescription& description,
                      const volatile std::sig_atomic_t& stop);

/// The results of a run, from its log: errors in % at the last iteration, curves and training speed. It has the fields of
/// to_json(RunDescription), then
///   "diverged", "seconds" and "images_per_second" of training alone,
///   "final": {"iteration", "running_train", "clean_train", "validation", "test"}, each {"images", "loss", "top1_error",
///     "top5_error"} or null; the running ones are those of the last report, and have no "images",
///   "best": {"iteration", "top1_error"}, the first lowest validation error, or null,
///   "curves": {"running_train": [{"iteration", "loss", "top1_error", "top5_error", "learning_rate"}], "clean_train",
///   "validation"}.
/// Fails if the log cannot be read.
nlohmann::ordered_json run_result(const RunDescription& description, const std::string& log, int64_t batch_size, bool diverged);

}  // namespace residua
