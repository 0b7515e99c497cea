#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/data/augment.h"
#include "core/data/data_errors.h"
#include "core/data/sampler.h"
#include "core/data/source.h"
#include "core/device/device_api.h"
#include "core/tensor/tensor.h"

namespace residua {

/// What `PrepareInput` (core/kernels/prepare_input.h) takes: source images and each sample's window into them. On the CPU.
struct Batch {
  Tensor images;       // u8 [size, crop, crop, 3]
  Tensor labels;       // i32 [size]; -1 marks a skipped image, whose pixels are 0
  Tensor top;          // i32 [size]
  Tensor left;         // i32 [size]
  Tensor flip;         // u8 [size] 0 or 1
  Tensor color_shift;  // f32 [size, 3] unit of images
  int64_t height = 0;  // of the network's input
  int64_t width = 0;
  int64_t first_index = 0;           // position of the first sample in the epoch
  std::span<const int64_t> samples;  // each one's index in the source

  int64_t size() const { return static_cast<int64_t>(samples.size()); }
};

struct LoaderOptions {
  int64_t batch_size = 0;
  int64_t crop_size = 0;          // of the network's input
  std::string augmentation = "";  // a name of augmentation_names(), or empty: the evaluation window
  bool shuffle = false;
  bool drop_last = false;  // leaves out the epoch's last batch when it is not full
  uint64_t seed = 0;
  int64_t workers = 0;         // threads; 0: the thread that calls next()
  int64_t prefetch = 2;        // finished batches that may wait for next()
  int64_t max_bad_images = 0;  // this many different images that cannot be read are skipped; one more is an error
  Device device = {};          // that batches are uploaded to: their memory is pinned for it
  int64_t rank = 0;
  int64_t world = 1;
};

/// Reads a source in batches on threads of its own. What comes out depends on the options other than `workers` and `prefetch`,
/// and on the epoch, alone. One thread uses a loader.
class Loader {
 public:
  /// Fails with UsageError on options that make no sense.
  Loader(std::shared_ptr<const ImageSource> source, LoaderOptions options);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  /// May come at any moment; waits for the images being decoded.
  ~Loader();

  /// Begins an epoch, at its batch `first_batch`. What was left of another epoch is dropped.
  void start(int64_t epoch, int64_t first_batch = 0);

  /// The epoch's next batch, or null at its end. The batch and its tensors' memory are used again: they hold until the
  /// following call of next() or start(). Fails with what went wrong on a thread, or with the names of the bad images when they
  /// are too many; then every further call fails until start().
  const Batch* next();

  /// Batches an epoch.
  int64_t batches() const { return batches_; }
  /// Samples an epoch that are in those batches.
  int64_t samples() const;
  const ImageSource& source() const { return *source_; }
  DataErrors& errors() { return errors_; }
  const DataErrors& errors() const { return errors_; }
  /// Seconds that next() has waited for data, since construction.
  double wait_seconds() const { return wait_seconds_; }

 private:
  /// The memory of one batch, and how far it is.
  struct Slot {
    Batch memory;                              // of a full batch
    std::optional<device_api::Pinned> pinned;  // its images
    Batch batch;                               // views of its first samples
    int64_t unfinished = 0;
  };
  /// Some samples of one batch, the unit of work of a thread.
  struct Task {
    Slot* slot;
    int64_t begin;
    int64_t end;
  };

  int64_t batch_samples(int64_t batch) const;
  void begin_batch(int64_t batch);
  bool task_available() const;
  Task take_task();
  void run_task(const Task& task, Image& scratch);
  void load_sample(const Slot& slot, int64_t position, Image& scratch);
  void work();
  void stop();
  Slot& slot_of(int64_t batch) { return slots_[static_cast<size_t>(batch) % slots_.size()]; }

  const std::shared_ptr<const ImageSource> source_;
  const LoaderOptions options_;
  const Sampler sampler_;
  const std::unique_ptr<const Augmentation> augmentation_;
  const int64_t batches_;
  DataErrors errors_;
  double wait_seconds_ = 0.0;
  Image scratch_;  // of next() where there are no threads

  // Written by start() while no task runs.
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable task_or_stop_;
  std::condition_variable progress_;
  std::vector<Slot> slots_;
  int64_t next_batch_ = 0;     // of next()
  int64_t filling_batch_ = 0;  // that tasks are taken from
  int64_t filling_sample_ = 0;
  int64_t running_tasks_ = 0;
  bool batch_lent_ = false;  // batch next_batch_ - 1 is in the caller's hands
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace residua
