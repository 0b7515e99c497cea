#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "core/data/data_errors.h"
#include "core/data/sampler.h"
#include "core/data/source.h"
#include "core/data/views/view.h"
#include "core/data/worker_pool.h"
#include "core/device/device_api.h"
#include "core/tensor/tensor.h"

namespace residua {

class Settings;

/// What `PrepareInput` (core/kernels/prepare_input.h) takes: source images and the view of each. On the CPU. A sample has one
/// row, or as many as the view policy has views, one after the other.
struct Batch {
  Tensor images;       // u8 [rows, crop, crop, 3]
  Tensor labels;       // i32 [rows]; -1 marks a row that does not count, whose pixels are 0
  Tensor views;        // u8 [rows, sizeof(SampleView)]
  int64_t height = 0;  // of the network's input
  int64_t width = 0;
  std::span<const int64_t> samples;  // the index in the source that the epoch's order has for each sample

  int64_t size() const { return static_cast<int64_t>(samples.size()); }
};

/// What becomes of a sample whose image cannot be read.
enum class BadImages : uint8_t {
  leave_out,  // its rows do not count: evaluation
  replace     // another image takes its place: training
};

struct LoaderOptions {
  int64_t batch_size = 0;                       // samples
  int64_t crop_size = 0;                        // of the network's input
  std::shared_ptr<const ViewPolicy> view = {};  // null: the center view
  bool shuffle = false;
  bool drop_last = false;  // leaves out the epoch's last batch when it is not full
  /// Makes all batches of one shape, that of the smaller of `batch_size` and all samples: rows that do not count fill the last.
  bool pad_last = false;
  uint64_t seed = 0;
  int64_t workers = 0;   // threads; 0: the thread that calls next()
  int64_t prefetch = 2;  // finished batches that may wait for next()
  BadImages bad_images = BadImages::leave_out;
  int64_t max_bad_images = 0;               // more different images that cannot be read are an error
  double max_bad_share = 0.5;               // and so is a larger part of all
  std::shared_ptr<DataErrors> errors = {};  // where bad images are noted, with other loaders of the source; null: its own
  Device device = {};                       // that batches are uploaded to: their memory is pinned for it
  int64_t rank = 0;
  int64_t world = 1;
};

/// The settings of a loader that a user chooses whatever the data are.
void declare(Settings& settings, LoaderOptions& options);

/// Reads a source in batches on threads of its own. What comes out depends on the options other than `workers` and `prefetch`,
/// and on the epoch, alone. One thread uses a loader.
///
/// With BadImages::replace, an image that cannot be read is replaced by the next one in the epoch's order, from its place on
/// and then from the order's beginning, that can be decoded as a whole. Image and label are the other's; the random numbers of
/// its views are those of the place, as if the set had the other image there.
class Loader {
 public:
  /// Fails with UsageError on options that make no sense.
  Loader(std::shared_ptr<const ImageSource> source, LoaderOptions options);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  /// May come at any moment; waits for the images being decoded.
  ~Loader() = default;

  /// Begins an epoch, at its batch `first_batch`. What was left of another epoch is dropped.
  void start(int64_t epoch, int64_t first_batch = 0);

  /// The epoch's next batch, or null at its end. The batch and its tensors' memory are used again: they hold until the
  /// following call of next() or start(). Fails with what went wrong on a thread, with the names of the bad images when they
  /// are too many, and when one is to be replaced and none can be read; then every further call fails until start().
  const Batch* next();

  /// Batches an epoch.
  int64_t batches() const { return batches_; }
  /// Images that an epoch trains or evaluates: those in its batches.
  int64_t samples() const;
  /// Rows of the batch for each sample.
  int64_t views_per_sample() const { return options_.view->count(); }
  /// With what was left open filled in.
  const LoaderOptions& options() const { return options_; }
  const ImageSource& source() const { return *source_; }
  DataErrors& errors() { return *options_.errors; }
  const DataErrors& errors() const { return *options_.errors; }
  /// Seconds that next() has waited for data, since construction.
  double wait_seconds() const { return wait_seconds_; }

 private:
  /// The memory of one batch, and how far it is.
  struct Slot {
    Batch memory;                              // of a full batch
    std::optional<device_api::Pinned> pinned;  // its images
    Batch batch;                               // its first rows
    int64_t first_place = 0;                   // of its first sample in the epoch's order
    std::atomic<int64_t> unfinished = 0;       // samples
  };
  struct Placed {
    PlacedView placed;
    Rect region;  // of the source image, that it needs
  };
  /// What a worker needs for one sample.
  struct Scratch {
    EncodedImage encoded;
    Image image;  // the part `region` of the source image
    Rect region;
    Image part;  // what one view needs of it
    std::vector<Placed> placed;
  };

  int64_t batch_samples(int64_t batch) const;
  /// Submits the jobs of all batches that there is memory for.
  void submit_batches();
  void submit_batch();
  void load_samples(Slot& slot, int64_t begin, int64_t end, Scratch& scratch);
  void load_sample(const Slot& slot, int64_t position, Scratch& scratch);
  /// Reads and decodes the sample at a place of the epoch's order, and places its views. Returns which image it is; -1: none.
  int64_t fetch(int64_t place, Scratch& scratch);
  /// Decodes the image that replaces the one at `place`.
  int64_t fetch_substitute(int64_t place, Scratch& scratch);
  /// Fills `scratch.placed` and returns the smallest region that all the views need.
  Rect place_views(int64_t sample, ImageSize size, Scratch& scratch) const;
  void note_bad(int64_t image, const Error& error);
  bool known_bad(int64_t image);
  Slot& slot_of(int64_t batch) { return slots_[static_cast<size_t>(batch) % slots_.size()]; }

  const std::shared_ptr<const ImageSource> source_;
  const LoaderOptions options_;
  const Sampler sampler_;
  const int64_t batches_;
  double wait_seconds_ = 0.0;

  // Written by start() while no job runs.
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;

  std::mutex bad_mutex_;
  std::set<int64_t> bad_;  // images of this epoch that cannot be decoded as a whole

  std::vector<Slot> slots_;
  std::vector<Scratch> scratch_;  // of each worker
  int64_t next_batch_ = 0;        // of next()
  int64_t submitted_ = 0;         // batches whose jobs have been submitted
  bool batch_lent_ = false;       // batch next_batch_ - 1 is in the caller's hands
  WorkerPool pool_;               // last: its threads end before what they use
};

}  // namespace residua
