#include "core/data/loader.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace residua {
namespace {

/// Samples of a task: enough to make taking one cheap for tiny images, few enough to share out a batch of large ones.
constexpr int64_t kTaskSamples = 4;

constexpr int64_t kMaxBatchSize = 1 << 20;
constexpr int64_t kMaxWorkers = 1024;

LoaderOptions checked(const std::shared_ptr<const ImageSource>& source, LoaderOptions options) {
  const auto check = [](const char* what, int64_t got, int64_t low, int64_t high) {
    if (got < low || got > high) {
      fail_usage("loader: {} is {}; wanted {} to {}", what, got, low, high);
    }
  };
  if (source == nullptr) {
    fail_usage("loader: there is no source");
  }
  check("batch size", options.batch_size, 1, kMaxBatchSize);
  check("workers", options.workers, 0, kMaxWorkers);
  check("prefetch", options.prefetch, 1, kMaxWorkers);
  check("max_bad_images", options.max_bad_images, 0, INT64_MAX);
  return options;
}

int64_t count_batches(int64_t samples, const LoaderOptions& options) {
  const int64_t batches = (options.drop_last ? samples : samples + options.batch_size - 1) / options.batch_size;
  if (batches == 0) {
    fail_usage("loader: {} samples do not fill one batch of {}; wanted a smaller batch", samples, options.batch_size);
  }
  return batches;
}

}  // namespace

Loader::Loader(std::shared_ptr<const ImageSource> source, LoaderOptions options)
    : source_(std::move(source)),
      options_(checked(source_, std::move(options))),
      sampler_({source_->size(), options_.seed, options_.shuffle, options_.rank, options_.world}),
      augmentation_(options_.augmentation.empty() ? make_evaluation(options_.crop_size)
                                                  : make_augmentation(options_.augmentation, options_.crop_size)),
      batches_(count_batches(sampler_.size(), options_)),
      errors_(options_.max_bad_images) {
  const int64_t n = options_.batch_size;
  const int64_t crop = options_.crop_size;
  slots_.resize(options_.workers == 0 ? 1 : static_cast<size_t>(options_.prefetch + 1));
  for (Slot& slot : slots_) {
    slot.memory = {empty({n, crop, crop, 3}, DType::u8),
                   empty({n}, DType::i32),
                   empty({n}, DType::i32),
                   empty({n}, DType::i32),
                   empty({n}, DType::u8),
                   empty({n, 3}, DType::f32),
                   crop,
                   crop,
                   0,
                   {}};
    slot.pinned.emplace(options_.device, slot.memory.images.data(), slot.memory.images.bytes());
  }
  filling_batch_ = next_batch_ = batches_;  // nothing to do before start()
  try {
    for (int64_t i = 0; i < options_.workers; ++i) {
      threads_.emplace_back([this] { work(); });
    }
  } catch (...) {
    stop();
    throw;
  }
}

Loader::~Loader() { stop(); }

void Loader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  task_or_stop_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

int64_t Loader::samples() const { return std::min(sampler_.size(), batches_ * options_.batch_size); }

int64_t Loader::batch_samples(int64_t batch) const {
  return std::min(options_.batch_size, sampler_.size() - batch * options_.batch_size);
}

void Loader::start(int64_t epoch, int64_t first_batch) {
  if (epoch < 0 || first_batch < 0 || first_batch > batches_) {
    fail_usage("loader: cannot start epoch {} at batch {} of {}", epoch, first_batch, batches_);
  }
  std::unique_lock lock(mutex_);
  filling_batch_ = batches_;  // no further task is taken
  progress_.wait(lock, [this] { return running_tasks_ == 0; });
  if (epoch != epoch_) {
    order_ = sampler_.order(epoch);
    epoch_ = epoch;
  }
  failure_ = nullptr;
  batch_lent_ = false;
  next_batch_ = first_batch;
  filling_batch_ = first_batch;
  filling_sample_ = 0;
  lock.unlock();
  task_or_stop_.notify_all();
}

/// A batch may be filled when the slot it takes is neither waiting for next() nor in the caller's hands.
bool Loader::task_available() const {
  const int64_t oldest_in_use = next_batch_ - (batch_lent_ ? 1 : 0);
  return failure_ == nullptr && filling_batch_ < batches_ &&
         filling_batch_ < oldest_in_use + static_cast<int64_t>(slots_.size());
}

void Loader::begin_batch(int64_t batch) {
  Slot& slot = slot_of(batch);
  const int64_t n = batch_samples(batch);
  const int64_t crop = options_.crop_size;
  const int64_t first = batch * options_.batch_size;
  slot.batch = {slot.memory.images.slice(0, {n, crop, crop, 3}),
                slot.memory.labels.slice(0, {n}),
                slot.memory.top.slice(0, {n}),
                slot.memory.left.slice(0, {n}),
                slot.memory.flip.slice(0, {n}),
                slot.memory.color_shift.slice(0, {n, 3}),
                crop,
                crop,
                first,
                std::span(order_).subspan(static_cast<size_t>(first), static_cast<size_t>(n))};
  slot.unfinished = n;
}

Loader::Task Loader::take_task() {
  if (filling_sample_ == 0) {
    begin_batch(filling_batch_);
  }
  Slot& slot = slot_of(filling_batch_);
  const int64_t end = std::min(filling_sample_ + kTaskSamples, slot.batch.size());
  const Task task{&slot, filling_sample_, end};
  filling_sample_ = end;
  if (end == slot.batch.size()) {
    ++filling_batch_;
    filling_sample_ = 0;
  }
  return task;
}

void Loader::load_sample(const Slot& slot, int64_t position, Image& scratch) {
  const Batch& batch = slot.batch;
  const size_t at = static_cast<size_t>(position);
  const int64_t sample = batch.samples[at];
  const int64_t image_bytes = batch.height * batch.width * 3;
  uint8_t* pixels = batch.images.data<uint8_t>() + position * image_bytes;
  Random random(options_.seed, RandomPurpose::augmentation, static_cast<uint64_t>(epoch_), static_cast<uint64_t>(sample));
  Placement placement;
  int32_t label = source_->label(sample);
  try {
    const auto choose = [&](ImageSize size) {
      placement = augmentation_->place(size, random);
      return source_region(placement.resize);
    };
    source_->load(sample, choose, scratch);
    scale(placement.resize, scratch, pixels);
  } catch (const Error& error) {
    errors_.add(source_->name(sample), error.what());
    std::memset(pixels, 0, static_cast<size_t>(image_bytes));
    placement = {};
    label = -1;
  }
  batch.labels.data<int32_t>()[at] = label;
  batch.top.data<int32_t>()[at] = placement.top;
  batch.left.data<int32_t>()[at] = placement.left;
  batch.flip.data<uint8_t>()[at] = placement.flip ? 1 : 0;
  std::ranges::copy(placement.color_shift, batch.color_shift.data<float>() + 3 * at);
}

void Loader::run_task(const Task& task, Image& scratch) {
  std::exception_ptr failure;
  try {
    for (int64_t position = task.begin; position < task.end; ++position) {
      load_sample(*task.slot, position, scratch);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  task.slot->unfinished -= task.end - task.begin;
  --running_tasks_;
  if (failure != nullptr && failure_ == nullptr) {
    failure_ = std::move(failure);  // moved, so that only the caller of next() still holds it
  }
  progress_.notify_all();
}

void Loader::work() {
  Image scratch;
  for (;;) {
    std::unique_lock lock(mutex_);
    task_or_stop_.wait(lock, [this] { return stopping_ || task_available(); });
    if (stopping_) {
      return;
    }
    const Task task = take_task();
    ++running_tasks_;
    lock.unlock();
    run_task(task, scratch);
  }
}

const Batch* Loader::next() {
  const auto begin = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  if (epoch_ < 0) {
    fail("loader: next() before start()");
  }
  batch_lent_ = false;
  if (next_batch_ == batches_) {
    return nullptr;
  }
  const int64_t batch = next_batch_;
  task_or_stop_.notify_all();
  // unfinished counts only once the batch has been begun.
  const auto finished = [&] { return filling_batch_ > batch && slot_of(batch).unfinished == 0; };
  if (options_.workers == 0) {
    while (failure_ == nullptr && !finished()) {
      const Task task = take_task();
      ++running_tasks_;
      lock.unlock();
      run_task(task, scratch_);
      lock.lock();
    }
  } else {
    progress_.wait(lock, [&] { return failure_ != nullptr || finished(); });
  }
  wait_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
  ++next_batch_;
  batch_lent_ = true;
  return &slot_of(batch).batch;
}

}  // namespace residua
