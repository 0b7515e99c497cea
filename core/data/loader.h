#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "core/data/auto_workers.h"
#include "core/data/codecs/decode.h"
#include "core/data/data_errors.h"
#include "core/data/loader_options.h"
#include "core/data/read_watch.h"
#include "core/data/sampler.h"
#include "core/data/source.h"
#include "core/data/views/view.h"
#include "core/data/worker_pool.h"
#include "core/device/device_api.h"
#include "core/tensor/tensor.h"

namespace residua {

/// The input of `PrepareInput` (core/kernels/prepare_input.h), in host memory: source images and the view of each. A sample has
/// one row for each view of the view policy, in sequence.
struct Batch {
  Tensor images;       // u8 [rows, height, width, 3]
  Tensor labels;       // i32 [rows]; -1 marks a row to be ignored, whose pixels are 0
  Tensor views;        // u8 [rows, sizeof(SampleView)]
  int64_t height = 0;  // of the network's input
  int64_t width = 0;
  std::span<const int64_t> samples;  // index in the source of each sample, in the epoch's order
  int64_t whole = 0;                 // samples of all ranks' parts of the batch together

  int64_t size() const { return static_cast<int64_t>(samples.size()); }
};

/// Rows [first, first + count) of a batch, without its samples.
Batch rows_of(const Batch& batch, int64_t first, int64_t count);

/// Loads batches from a source on its own threads. The batches depend only on the epoch and on the options other than `workers`
/// and `prefetch`. Only one thread may use a loader.
///
/// With BadImages::replace, an unreadable image is replaced by the next image in the epoch's order, wrapping around at the end,
/// that decodes as a whole. Image and label come from the substitute; the random numbers of its views come from the original
/// position.
///
/// If the sizes of views vary with those of images, a batch has one sample, and each batch has its own height and width.
class Loader {
 public:
  /// Fails with UsageError on an option out of range.
  Loader(std::shared_ptr<const ImageSource> source, LoaderOptions options);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  /// Safe at any time; waits for images being read and decoded. A thread that has read for longer than the limit is left
  /// behind; it keeps the source and nothing else of the loader.
  ~Loader();

  /// Starts an epoch at batch `first_batch`. Drops the rest of the previous epoch.
  void start(int64_t epoch, int64_t first_batch = 0);

  /// Returns the epoch's next batch, or null at its end. The batch and its tensors are valid until the next call of next() or
  /// start(). Fails with the error of a loader thread, with the names of the bad images if there are too many, if no
  /// substitute can be read, or, naming the images being read, if no loader thread gets on for `read_timeout` seconds. After a
  /// failure every call fails until start().
  const Batch* next();
  /// Returns next(), or the first batch of the next epoch if this one is at its end.
  const Batch& next_of_any_epoch();

  /// Batches per epoch.
  int64_t batches() const { return batches_; }
  /// Images in the batches of an epoch, of all ranks.
  int64_t samples() const;
  /// Rows per sample.
  int64_t views_per_sample() const { return options_.view->count(); }
  /// The size of all views; nothing if it varies with the images.
  std::optional<ImageSize> view_size() const { return view_size_; }
  /// The options, with defaults filled in.
  const LoaderOptions& options() const { return options_; }
  const ImageSource& source() const { return *source_; }
  DataErrors& errors() { return *options_.errors; }
  const DataErrors& errors() const { return *options_.errors; }
  /// Threads that load now, and that may load.
  int64_t workers() const { return pool_.workers(); }
  int64_t most_workers() const { return pool_.most_workers(); }
  /// Total seconds that next() has waited for data.
  double wait_seconds() const { return wait_seconds_; }

 private:
  /// The memory of one batch, and its progress.
  struct Slot {
    Batch memory;                              // the largest part, of the largest views if their size varies
    std::optional<device_api::Pinned> pinned;  // the memory of its images
    Batch batch;                               // the rows in use
    int64_t first_place = 0;                   // position of its first sample in the epoch's order
    std::atomic<int64_t> unfinished = 0;       // samples still to load
  };
  struct Placed {
    PlacedView placed;
    Rect region;  // the part of the source image that it needs
  };
  /// What a worker that is left behind still uses.
  struct Reading {
    EncodedImage encoded;
    ReadWatch watch;
  };
  /// A worker's memory for one sample.
  struct Scratch {
    std::shared_ptr<Reading> reading = std::make_shared<Reading>();
    Image image;  // `region` of the source image
    Rect region;
    Image part;  // the part that one view needs
    std::vector<Placed> placed;
    ResizeMemory resize;
  };

  /// Samples of a batch, of all ranks.
  int64_t batch_samples(int64_t batch) const;
  DecodeOptions decode_options() const {
    return {.orientation = options_.turns_by_exif ? Orientation::exif : Orientation::as_stored,
            .max_pixels = options_.max_pixels};
  }
  double limit() const { return options_.read_timeout > 0 ? options_.read_timeout : WorkerPool::kForever; }
  /// Samples of this rank in the largest batch.
  int64_t largest_part() const { return (options_.batch_size + options_.world - 1) / options_.world; }
  /// Submits the jobs of all batches that have memory. The caller must hold no batch: the memory of its last one is used again.
  void submit_batches();
  void submit_batch();
  void load_samples(Slot& slot, int64_t begin, int64_t end, Scratch& scratch);
  void load_sample(Slot& slot, int64_t position, Scratch& scratch);
  /// Reads and decodes the sample at a position of the epoch's order, and places its views. Returns the image's index, or -1
  /// if it cannot be read.
  int64_t fetch(int64_t place, Scratch& scratch);
  /// Reads an image as stored.
  void read(int64_t image, const Scratch& scratch) const;
  [[noreturn]] void fail_stuck() const;
  /// Decodes the substitute for the image at `place`, and places its views.
  int64_t fetch_substitute(int64_t place, Scratch& scratch);
  /// Fills `scratch.placed` with the views of `image` in the place of `sample`, and returns the smallest region that contains
  /// what all views need. Fails with Error if a view has another size than the batch has memory for.
  Rect place_views(int64_t sample, int64_t image, ImageSize size, Scratch& scratch) const;
  void note_bad(int64_t image, const Error& error);
  bool known_bad(int64_t image);
  Slot& slot_of(int64_t batch) { return slots_[static_cast<size_t>(batch) % slots_.size()]; }

  const std::shared_ptr<const ImageSource> source_;
  const LoaderOptions options_;
  const Sampler sampler_;
  const int64_t batches_;
  const std::optional<ImageSize> view_size_;  // of all views; nothing if it varies
  double wait_seconds_ = 0.0;

  // Written by start() while no job runs.
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;

  std::mutex bad_mutex_;
  std::set<int64_t> bad_;  // images found in this epoch that do not decode as a whole

  AutoWorkers auto_workers_;
  std::vector<Slot> slots_;
  std::vector<Scratch> scratch_;  // of each worker
  int64_t next_batch_ = 0;        // of next()
  int64_t submitted_ = 0;         // batches with submitted jobs
  bool stuck_ = false;            // a read has taken too long
  WorkerPool pool_;               // last, so that its threads end before the data they use
};

}  // namespace residua
