#pragma once

#include <cstdint>

#include "core/config/settings.h"

namespace residua {

/// How many images that cannot be read are skipped before a run ends: a count, or a share of the set.
struct BadImageLimit {
  int64_t count = 100;
  double percent = -1;  // of the set, and then `count` does not hold; negative: `count` holds

  /// The limit for a set of `images`, rounded down.
  int64_t of(int64_t images) const;
};

/// How a user wants images to be read; what is read does not depend on it.
struct LoadingOptions {
  int64_t workers = 2;  // threads that read and decode; 0: the thread that trains
  BadImageLimit max_bad_images;
};

void declare(Settings& settings, LoadingOptions& options);

}  // namespace residua
