#pragma once

#include <memory>
#include <string>

#include "core/config/settings.h"
#include "core/data/source.h"

namespace residua::test {

/// The dataset synthetic with the options that a user would set.
struct SyntheticSet {
  int64_t image_size = 32;
  int64_t classes = 10;
  int64_t images = 10'000;
  uint64_t seed = 0;
};

inline std::shared_ptr<const ImageSource> open_synthetic(Split split, const SyntheticSet& set) {
  Kinds<SourceKind> kinds;
  Settings settings;
  kinds.declare(settings);
  settings.assign("synthetic-classes", {std::to_string(set.classes)}, Layer::command_line);
  settings.assign("synthetic-images", {std::to_string(set.images)}, Layer::command_line);
  return open_source(kinds, "synthetic", "", split, {.image_size = set.image_size, .seed = set.seed});
}

}  // namespace residua::test
