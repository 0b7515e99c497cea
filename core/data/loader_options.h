#pragma once

#include <cstdint>
#include <memory>

#include "core/data/codecs/decode.h"
#include "core/data/worker_count.h"
#include "core/device/device.h"

namespace residua {

class DataErrors;
class ImageSource;
class Settings;
class ViewPolicy;

/// What to do with a sample whose image cannot be read.
enum class BadImages : uint8_t {
  leave_out,  // ignore its rows: evaluation
  replace     // use another image instead: training
};

struct LoaderOptions {
  int64_t batch_size = 0;                       // samples of all ranks together
  int64_t crop_size = 0;                        // of the network's input; its shorter side if the view's size varies
  std::shared_ptr<const ViewPolicy> view = {};  // null: the center view
  bool shuffle = false;
  bool drop_last = false;  // drop the epoch's last batch if it is not full
  /// Give all batches the same shape, min(batch_size, samples): the last one is padded with rows to be ignored.
  bool pad_last = false;
  uint64_t seed = 0;
  bool turns_by_exif = false;              // turn images as their EXIF data say
  int64_t max_pixels = kDefaultMaxPixels;  // of an image that may be decoded
  double read_timeout = 120;               // seconds without an image read after which next() fails; 0: no limit
  /// Loader threads. 0: the thread that calls next() does the work. kAutoWorkers: one thread, and more, up to `most_workers`,
  /// while next() has to wait for data.
  int64_t workers = 0;
  int64_t most_workers = 0;  // of kAutoWorkers; 0: one a core
  int64_t prefetch = 2;      // batches to prepare ahead of next()
  BadImages bad_images = BadImages::leave_out;
  int64_t max_bad_images = 0;               // limit on distinct unreadable images
  double max_bad_share = 0.5;               // the same as a share of all images; the smaller limit applies
  std::shared_ptr<DataErrors> errors = {};  // records bad images; loaders of a source may share it; null: its own
  Device device = {};                       // the device that batches are uploaded to: host memory is pinned for it
  int64_t rank = 0;                         // of this process, which loads its part of each batch: share_of()
  int64_t world = 1;                        // processes that share the batches
};

/// Declares the loader settings that do not depend on the data.
void declare(Settings& settings, LoaderOptions& options);

/// The options with defaults filled in, for a loader of `source`. Fails with UsageError on an option out of range, and if
/// `source` is null.
LoaderOptions checked(LoaderOptions options, const ImageSource* source);

/// Threads that a loader may use.
int64_t threads_of(const LoaderOptions& options);

}  // namespace residua
