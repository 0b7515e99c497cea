#include "core/optim/gradient_buckets.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"

namespace residua {
namespace {

/// A bucket before it is known when it is complete.
struct Range {
  const ParameterArena* arena;
  int64_t begin, end;              // elements of the arena
  std::vector<size_t> parameters;  // numbers in ParameterStore::parameters()
};

int64_t offset_in(const ParameterArena& arena, const Parameter& parameter) {
  const auto* start = static_cast<const std::byte*>(arena.gradient.data());
  const auto* own = static_cast<const std::byte*>(parameter.gradient.data());
  return (own - start) / size_bytes(arena.gradient.dtype());
}

/// Cuts an arena into ranges of at least `bytes`, from its end to its beginning.
void cut(const ParameterStore& store, ParameterRole role, const ParameterArena& arena, int64_t bytes,
         std::vector<Range>& ranges) {
  const std::vector<Parameter*>& all = store.parameters();
  int64_t end = arena.size;
  std::vector<size_t> collected;
  for (size_t i = all.size(); i-- > 0;) {
    if (all[i]->role != role || all[i]->frozen) {
      continue;
    }
    collected.push_back(i);
    const int64_t begin = offset_in(arena, *all[i]);
    if ((end - begin) * size_bytes(arena.gradient.dtype()) >= bytes || begin == arena.frozen) {
      ranges.push_back({&arena, begin, end, std::move(collected)});
      collected.clear();
      end = begin;
    }
  }
}

}  // namespace

int64_t bucket_bytes(const ParameterStore& store, int64_t most) {
  return std::min(store.matrices().gradient.bytes() / 4, most);
}

GradientBuckets::GradientBuckets(ParameterStore& store, Communicator& communicator, int64_t bytes)
    : communicator_(communicator) {
  std::vector<Range> ranges;
  cut(store, ParameterRole::matrix, store.matrices(), bytes, ranges);
  cut(store, ParameterRole::vector, store.vectors(), bytes, ranges);
  // A bucket is complete with the first of its parameters, which backward() reaches last.
  std::ranges::stable_sort(ranges, std::greater(), [](const Range& range) { return range.parameters.back(); });
  for (const Range& range : ranges) {
    for (const size_t i : range.parameters) {
      bucket_of_[store.parameters()[i]->value.autograd().get()] = buckets_.size();
    }
    const auto count = static_cast<int64_t>(range.parameters.size());
    buckets_.push_back({.gradients = range.arena->gradient.slice(range.begin, {range.end - range.begin}),
                        .parameters = count,
                        .missing = count});
  }
}

void GradientBuckets::complete(const AutogradMeta& leaf) {
  const auto found = bucket_of_.find(&leaf);
  if (found == bucket_of_.end()) {
    return;
  }
  --buckets_[found->second].missing;
  // In their order, so that all ranks sum the same buckets together.
  for (; next_ < buckets_.size() && buckets_[next_].missing == 0; ++next_) {
    communicator_.sum(buckets_[next_].gradients);
  }
}

void GradientBuckets::finish() {
  if (next_ < buckets_.size()) {
    fail("{} of {} gradient buckets are incomplete: the loss must depend on every parameter", buckets_.size() - next_,
         buckets_.size());
  }
  communicator_.finish();
  next_ = 0;
  for (Bucket& bucket : buckets_) {
    bucket.missing = bucket.parameters;
  }
}

}  // namespace residua
