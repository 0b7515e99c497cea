#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "core/config/settings.h"
#include "core/train/run_config.h"
#include "core/train/run_setup.h"
#include "models/network.h"

namespace residua {

/// What a run computes, known before it does: two runs with one digest compute the same, but for rounding. Paths, threads,
/// workers, logs, the device, the processor and the program's version are not part of it, nor are options of sources, views,
/// schedules, protocols and families that the run does not use.
struct RunDescription {
  nlohmann::ordered_json configuration;             // the settings that have a result, by name, as numbers, texts and lists
  std::string train_set, validation_set, test_set;  // their set_digest(); empty where there is none
  std::string weights;                              // digest of the file of first weights; empty: none
  int64_t iterations = 0;
  int64_t iterations_per_epoch = 0;
  int64_t train_images = 0;
  int64_t validation_images = 0;
  int64_t parameters = 0;
  std::string device;
  std::string processor;  // "Intel(R) Xeon(R) Processor @ 2.60GHz (avx512bf16)"
  std::string precision;  // "fp32", "bf16" or "fp16"
  int64_t threads = 0;

  /// Of configuration, sets and first weights.
  std::string digest() const;
};

/// Of a run whose settings are settled.
RunDescription describe_run(const Settings& settings, const RunConfig& config, const RunData& data, const Network& network,
                            Device device, DType precision);

/// With the format's version, the program's version and the digest.
nlohmann::ordered_json to_json(const RunDescription& description);

}  // namespace residua
