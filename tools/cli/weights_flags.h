#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/network.h"

namespace residua {

/// The flags that override the metadata of a weights file: --model, --classes, --crop-size and so on. They are bound to this
/// object: it must not move.
class WeightsFlags {
 public:
  void add(CLI::App& app);
  /// Fails with UsageError on class names that cannot be read.
  NetworkOverrides overrides() const;

 private:
  ModelOptions model_;
  Settings settings_;
  std::string classes_file_;
  std::vector<double> mean_, std_;
  std::optional<int64_t> crop_size_;
};

}  // namespace residua
