#include "core/data/loader_options.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/config/settings.h"
#include "core/data/data_errors.h"
#include "core/data/sampler.h"
#include "core/data/source.h"
#include "core/data/views/view.h"

namespace residua {
namespace {

constexpr int64_t kMaxBatchSize = 1 << 20;

}  // namespace

void declare(Settings& settings, LoaderOptions& options) {
  settings
      .add(workers_setting(options.workers,
                           "Threads that load and decode images. auto: one thread, and more while training waits for images. "
                           "0: the training thread does it."))
      .alias("j")
      .without_result();
  settings.flag("exif", options.turns_by_exif,
                "Rotate each photo by its EXIF orientation. By default, training does not rotate photos; nor does "
                "torchvision. Evaluation follows what the weights record.");
  settings
      .number("max-bad-images", options.max_bad_images, at_least(0),
              "Number of unreadable images to skip; the run fails at one more.")
      .without_result();
  settings
      .number("max-bad-share", options.max_bad_share, between(0, 1),
              "The same limit as a share of the data set, from 0 to 1; the smaller limit applies.")
      .without_result();
  declare_max_pixels(settings, options.max_pixels);
  settings
      .number("read-timeout", options.read_timeout, at_least(0),
              "If no image has been read for this many seconds, name the files, save the state (with one process) and end the "
              "run; 0: no limit. Without effect if workers is 0.")
      .without_result();
}

LoaderOptions checked(LoaderOptions options, const ImageSource* source) {
  const auto check = [](const char* setting, int64_t got, int64_t low, int64_t high) {
    if (got < low || got > high) {
      fail_setting(setting, fmt::format("{}", got), fmt::format("{} to {}", low, high));
    }
  };
  if (source == nullptr) {
    fail_usage("loader: got no source");
  }
  check("batch-size", options.batch_size, 1, kMaxBatchSize);
  check("workers", options.workers, kAutoWorkers, kMaxWorkers);
  check("most-workers", options.most_workers, 0, kMaxWorkers);
  check("prefetch", options.prefetch, 1, kMaxWorkers);
  check("max-bad-images", options.max_bad_images, 0, INT64_MAX);
  check("max-pixels", options.max_pixels, 1, kMaxImagePixels);
  if (options.world < 1 || options.rank < 0 || options.rank >= options.world) {
    fail_usage("loader: rank {} of {}; wanted 0 <= rank < world", options.rank, options.world);
  }
  if (!(options.read_timeout >= 0)) {
    fail_setting("read-timeout", fmt::format("{}", options.read_timeout), "0 or more seconds");
  }
  if (!(options.max_bad_share >= 0 && options.max_bad_share <= 1)) {
    fail_setting("max-bad-share", fmt::format("{}", options.max_bad_share), "0 to 1");
  }
  if (options.most_workers == 0) {
    options.most_workers = one_worker_a_core();
  }
  if (options.view == nullptr) {
    options.view = make_view("center", options.crop_size);
  }
  if (options.errors == nullptr) {
    options.errors = std::make_shared<DataErrors>(options.max_bad_images, options.max_bad_share, source->size());
  }
  if (options.batch_size > 1 && !size_of_views(*options.view, options.crop_size, source->fixed_size())) {
    fail_usage("loader: got batches of {} samples, wanted 1: the views' sizes vary with the images", options.batch_size);
  }
  if (options.pad_last) {
    options.batch_size = std::min(options.batch_size, source->size());
  }
  return options;
}

int64_t threads_of(const LoaderOptions& options) {
  return options.workers == kAutoWorkers ? options.most_workers : options.workers;
}

}  // namespace residua
