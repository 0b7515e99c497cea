#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "core/data/source.h"
#include "core/evaluate/report.h"
#include "core/run/run_folder.h"
#include "core/train/run_config.h"
#include "models/network.h"

namespace residua {

/// What was evaluated, and how.
struct Evaluated {
  const Network& network;
  const RunConfig& config;  // its protocol and its loader options
  std::string weights;      // their file
  int64_t iteration = 0;    // of the weights; 0 if not known
  std::string set;          // "validation", "training" or "test"
  std::shared_ptr<const ImageSource> images;
  Device device;
  DType precision = DType::f32;
};

/// The content of an evaluation's JSON file: {"format", "version", "model", "weights", "iteration", "set", "input_size",
/// "protocol", "average", "views", "device", "precision", "unreadable_images"}, then that of to_json(EvaluationReport).
nlohmann::ordered_json evaluation_json(const Evaluated& evaluated, const EvaluationReport& report);

/// The text of such a file. Replaces bytes of file names that are not UTF-8.
std::string evaluation_text(const nlohmann::ordered_json& json);

/// Writes evaluation.json to a run's folder. For the first 24 of the worst images also writes what the network saw to
/// worst/INDEX.png, and adds that path to the image as "view". Removes pictures of an earlier evaluation.
void write_evaluation(const RunFolder& folder, const Evaluated& evaluated, std::span<const ImageResult> results);

}  // namespace residua
