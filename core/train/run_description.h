#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/config/settings.h"
#include "core/train/run_config.h"
#include "core/train/run_setup.h"
#include "models/network.h"

namespace residua {

/// What a run will compute. Two runs with the same digest compute the same results up to rounding. The digest leaves out paths,
/// threads, workers, logging, the device, the processor, the program's version, and the options of sources, views, schedules,
/// protocols and model families that the run does not use.
struct RunDescription {
  std::string recipe;                               // its name
  std::vector<std::string> deviations;              // from the recipe, as Settings::deviations() tells them
  nlohmann::ordered_json configuration;             // the settings that affect results, by name, as numbers, strings and lists
  std::string train_set, validation_set, test_set;  // their set_digest(); empty if there is no such set
  std::string weights;                              // digest of the initial weights file; empty: none
  int64_t iterations = 0;
  int64_t iterations_per_epoch = 0;
  int64_t train_images = 0;
  int64_t validation_images = 0;
  int64_t parameters = 0;
  double peak_lr = 0;      // for the batch size
  std::string lr_scaling;  // describe_scaling()
  std::string device;
  std::string processor;  // "Intel(R) Xeon(R) Processor @ 2.60GHz (avx512bf16)"
  std::string precision;  // "fp32", "bf16" or "fp16"
  int64_t threads = 0;

  /// Digest of the configuration, the data sets and the initial weights.
  std::string digest() const;
};

/// Describes a run whose settings are resolved.
RunDescription describe_run(const Settings& settings, const RunConfig& config, const RunData& data, const Network& network,
                            Device device, DType precision);

/// Also contains the format version, the program's version and the digest.
nlohmann::ordered_json to_json(const RunDescription& description);

}  // namespace residua
