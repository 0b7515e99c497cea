#include "core/data/loader.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/data/codecs/decode.h"
#include "core/distributed/share.h"
#include "core/ops/prepare_input.h"

namespace residua {
namespace {

/// Samples per job: enough that fetching a job is cheap for tiny images, few enough to spread a batch of large ones over the
/// workers.
constexpr int64_t kJobSamples = 4;

std::optional<int64_t> first_workers(const LoaderOptions& options) {
  return options.workers == kAutoWorkers ? std::optional<int64_t>(1) : std::nullopt;
}

int64_t count_batches(int64_t samples, const LoaderOptions& options) {
  const int64_t batches = (options.drop_last ? samples : samples + options.batch_size - 1) / options.batch_size;
  if (batches == 0) {
    fail_usage("loader: {} samples do not fill one batch of {}; use a smaller batch", samples, options.batch_size);
  }
  if (const int64_t last = std::min(samples - (batches - 1) * options.batch_size, options.batch_size); last < options.world) {
    fail_usage("loader: the last batch has {} samples, which is fewer than the {} ranks; use another batch size or fewer ranks",
               last, options.world);
  }
  return batches;
}

/// A batch of `rows` images of `size` in the memory of another one.
Batch in_memory_of(const Batch& memory, int64_t rows, ImageSize size, std::span<const int64_t> samples) {
  return {.images = memory.images.slice(0, {rows, size.height, size.width, 3}),
          .labels = memory.labels.slice(0, {rows}),
          .views = memory.views.slice(0, {rows, memory.views.dim(1)}),
          .height = size.height,
          .width = size.width,
          .samples = samples,
          .whole = memory.whole};
}

int64_t image_bytes(const Batch& batch) { return batch.height * batch.width * 3; }

/// Marks a row to be ignored: label -1, pixels 0.
void leave_out(const Batch& batch, int64_t row) {
  std::memset(batch.images.data<uint8_t>() + row * image_bytes(batch), 0, static_cast<size_t>(image_bytes(batch)));
  batch.labels.data<int32_t>()[row] = -1;
  views_in(batch.views)[static_cast<size_t>(row)] = {};
}

/// Returns `part` of a source image whose `region` is in `image`; copies to `memory` if `part` is smaller than `region`.
const Image& cut(const Image& image, const Rect& region, const Rect& part, Image& memory) {
  if (part == region) {
    return image;
  }
  memory.reset({part.height, part.width});
  for (int64_t y = 0; y < part.height; ++y) {
    std::memcpy(memory.row(y), image.row(part.top - region.top + y) + (part.left - region.left) * 3,
                static_cast<size_t>(part.width) * 3);
  }
  return memory;
}

}  // namespace

Batch rows_of(const Batch& batch, int64_t first, int64_t count) {
  return {.images = batch.images.slice(first * image_bytes(batch), {count, batch.height, batch.width, 3}),
          .labels = batch.labels.slice(first, {count}),
          .views = batch.views.slice(first * batch.views.dim(1), {count, batch.views.dim(1)}),
          .height = batch.height,
          .width = batch.width,
          .samples = {},
          .whole = batch.whole};
}

Loader::Loader(std::shared_ptr<const ImageSource> source, LoaderOptions options)
    : source_(std::move(source)),
      options_(checked(std::move(options), source_.get())),
      sampler_({source_->size(), options_.seed, options_.shuffle}),
      batches_(count_batches(sampler_.size(), options_)),
      view_size_(size_of_views(*options_.view, options_.crop_size, source_->fixed_size())),
      auto_workers_(threads_of(options_)),
      slots_(options_.workers == 0 ? 1 : static_cast<size_t>(options_.prefetch + 1)),
      pool_(threads_of(options_), first_workers(options_)) {
  const ImageSize most = view_size_.value_or(ImageSize{options_.view->most_pixels(), 1});
  const int64_t rows = largest_part() * views_per_sample();
  for (Slot& slot : slots_) {
    slot.memory = {.images = empty({rows, most.height, most.width, 3}, DType::u8),
                   .labels = empty({rows}, DType::i32),
                   .views = empty({rows, sizeof(SampleView)}, DType::u8),
                   .samples = {},
                   .whole = 0};
    slot.pinned.emplace(options_.device, slot.memory.images.data(), slot.memory.images.bytes());
  }
  scratch_.resize(static_cast<size_t>(pool_.most_workers()));
  submitted_ = next_batch_ = batches_;  // nothing to load before start()
}

int64_t Loader::samples() const { return std::min(sampler_.size(), batches_ * options_.batch_size); }

int64_t Loader::batch_samples(int64_t batch) const {
  return std::min(options_.batch_size, sampler_.size() - batch * options_.batch_size);
}

void Loader::start(int64_t epoch, int64_t first_batch) {
  if (epoch < 0 || first_batch < 0 || first_batch > batches_) {
    fail_usage("loader: cannot start epoch {} at batch {} of {}", epoch, first_batch, batches_);
  }
  stuck_ = !pool_.cancel(limit());
  if (stuck_) {
    fail_stuck();
  }
  if (epoch != epoch_) {
    order_ = sampler_.order(epoch);
    epoch_ = epoch;
  }
  bad_.clear();
  auto_workers_.restart();
  submitted_ = next_batch_ = first_batch;
  submit_batches();
}

void Loader::submit_batches() {
  while (submitted_ < std::min(batches_, next_batch_ + static_cast<int64_t>(slots_.size()))) {
    submit_batch();
  }
}

void Loader::submit_batch() {
  Slot& slot = slot_of(submitted_);
  slot.memory.whole = batch_samples(submitted_);
  const Share part = share_of(slot.memory.whole, options_.rank, options_.world);
  const int64_t filled = options_.pad_last ? largest_part() : part.count;
  slot.first_place = submitted_ * options_.batch_size + part.first;
  const ImageSize square{options_.crop_size, options_.crop_size};  // until the image's size is known
  slot.batch = in_memory_of(slot.memory, filled * views_per_sample(), view_size_.value_or(square),
                            std::span(order_).subspan(static_cast<size_t>(slot.first_place), static_cast<size_t>(part.count)));
  slot.unfinished = filled;
  std::vector<WorkerPool::Job> jobs;
  for (int64_t begin = 0; begin < filled; begin += kJobSamples) {
    const int64_t end = std::min(begin + kJobSamples, filled);
    jobs.emplace_back(
        [this, &slot, begin, end](int64_t worker) { load_samples(slot, begin, end, scratch_[static_cast<size_t>(worker)]); });
  }
  pool_.submit(std::move(jobs));
  ++submitted_;
}

void Loader::load_samples(Slot& slot, int64_t begin, int64_t end, Scratch& scratch) {
  for (int64_t position = begin; position < end; ++position) {
    load_sample(slot, position, scratch);
  }
  slot.unfinished -= end - begin;
}

void Loader::load_sample(Slot& slot, int64_t position, Scratch& scratch) {
  Batch& batch = slot.batch;
  const int64_t views = views_per_sample();
  const int64_t image = position < batch.size() ? fetch(slot.first_place + position, scratch) : -1;
  if (!view_size_ && image >= 0) {
    const Rect& window = scratch.placed.front().placed.resize.window;
    batch = in_memory_of(slot.memory, views, {window.height, window.width}, batch.samples);
  }
  for (int64_t k = 0; k < views; ++k) {
    const int64_t row = position * views + k;
    if (image < 0) {
      leave_out(batch, row);
      continue;
    }
    const auto& [placed, region] = scratch.placed[static_cast<size_t>(k)];
    uint8_t* pixels = batch.images.data<uint8_t>() + row * image_bytes(batch);
    if (k > 0 && placed.resize == scratch.placed[static_cast<size_t>(k) - 1].placed.resize) {
      std::memcpy(pixels, pixels - image_bytes(batch), static_cast<size_t>(image_bytes(batch)));  // such as a mirror image
    } else {
      scale(placed.resize, cut(scratch.image, scratch.region, region, scratch.part), pixels, scratch.resize);
    }
    batch.labels.data<int32_t>()[row] = source_->label(image);
    views_in(batch.views)[static_cast<size_t>(row)] = placed.view;
  }
}

Rect Loader::place_views(int64_t sample, int64_t image, ImageSize size, Scratch& scratch) const {
  Random random(options_.seed, RandomPurpose::augmentation, static_cast<uint64_t>(epoch_), static_cast<uint64_t>(sample));
  Rect region;
  scratch.placed.clear();
  for (int64_t k = 0; k < views_per_sample(); ++k) {
    const PlacedView placed = options_.view->place(size, random, k);
    const Rect& window = placed.resize.window;
    if (view_size_ && *view_size_ != ImageSize{window.height, window.width}) {
      fail(
          "{}: has {}x{} pixels, which give a view of {}x{}; wanted one of {}x{}: the data set says that all images have the "
          "same size",
          source_->name(image), size.width, size.height, window.width, window.height, view_size_->width, view_size_->height);
    }
    scratch.placed.push_back({placed, source_region(placed.resize)});
    region = k == 0 ? scratch.placed.back().region : bounding(region, scratch.placed.back().region);
  }
  return region;
}

int64_t Loader::fetch(int64_t place, Scratch& scratch) {
  const int64_t sample = order_[static_cast<size_t>(place)];
  try {
    const auto choose = [&](ImageSize size) { return scratch.region = place_views(sample, sample, size, scratch); };
    read(sample, scratch);
    decode(scratch.reading->encoded, source_->name(sample), choose, scratch.image, decode_options());
    return sample;
  } catch (const Error& error) {
    note_bad(sample, error);
  }
  if (options_.bad_images == BadImages::leave_out) {
    return -1;
  }
  return fetch_substitute(place, scratch);
}

int64_t Loader::fetch_substitute(int64_t place, Scratch& scratch) {
  // A substitute must decode as a whole, not only in the region that a view needs: a bad image is then bad for every place,
  // whichever asks first.
  const int64_t places = static_cast<int64_t>(order_.size());
  for (int64_t step = 1; step < places; ++step) {
    const int64_t image = order_[static_cast<size_t>((place + step) % places)];
    if (known_bad(image)) {
      continue;
    }
    try {
      read(image, scratch);
      decode(scratch.reading->encoded, source_->name(image), whole, scratch.image, decode_options());
      place_views(order_[static_cast<size_t>(place)], image, scratch.image.size(), scratch);
      scratch.region = whole(scratch.image.size());
      return image;
    } catch (const Error& error) {
      note_bad(image, error);
    }
  }
  fail("none of the {} images can be read:\n{}", places, errors().summary());
}

void Loader::note_bad(int64_t image, const Error& error) {
  errors().add(source_->name(image), error.what());
  const std::lock_guard lock(bad_mutex_);
  bad_.insert(image);
}

bool Loader::known_bad(int64_t image) {
  const std::lock_guard lock(bad_mutex_);
  return bad_.contains(image);
}

const Batch* Loader::next() {
  const auto begin = std::chrono::steady_clock::now();
  if (epoch_ < 0) {
    fail("loader: next() before start()");
  }
  if (next_batch_ == batches_) {
    return nullptr;
  }
  submit_batches();
  const Slot& slot = slot_of(next_batch_);
  stuck_ = stuck_ || !pool_.wait_until([&slot] { return slot.unfinished == 0; }, limit());
  if (stuck_) {
    fail_stuck();
  }
  const auto now = std::chrono::steady_clock::now();
  const double waited = std::chrono::duration<double>(now - begin).count();
  wait_seconds_ += waited;
  ++next_batch_;
  if (options_.workers == kAutoWorkers) {
    pool_.set_workers(auto_workers_.after_batch(std::chrono::duration<double>(now.time_since_epoch()).count(), waited));
  }
  return &slot.batch;
}

const Batch& Loader::next_of_any_epoch() {
  const Batch* batch = next();
  while (batch == nullptr) {
    start(epoch_ + 1);
    batch = next();
  }
  return *batch;
}

}  // namespace residua
