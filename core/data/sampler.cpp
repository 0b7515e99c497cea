#include "core/data/sampler.h"

#include <numeric>
#include <utility>

#include "core/base/error.h"
#include "core/base/random.h"

namespace residua {

Sampler::Sampler(SamplerOptions options) : options_(options) {
  if (options.size < 1) {
    fail_usage("sampler: {} samples; wanted at least 1", options.size);
  }
  if (options.world < 1 || options.rank < 0 || options.rank >= options.world) {
    fail_usage("sampler: rank {} of {}; wanted 0 <= rank < world", options.rank, options.world);
  }
}

int64_t Sampler::size() const { return (options_.size - options_.rank + options_.world - 1) / options_.world; }

std::vector<int64_t> Sampler::order(int64_t epoch) const {
  std::vector<int64_t> all(static_cast<size_t>(options_.size));
  std::iota(all.begin(), all.end(), int64_t{0});
  if (options_.shuffle) {
    Random random(options_.seed, RandomPurpose::order, static_cast<uint64_t>(epoch), 0);
    for (size_t i = all.size() - 1; i > 0; --i) {
      std::swap(all[i], all[static_cast<size_t>(random.below(static_cast<int64_t>(i) + 1))]);
    }
  }
  if (options_.world == 1) {
    return all;
  }
  std::vector<int64_t> share;
  for (int64_t i = options_.rank; i < options_.size; i += options_.world) {
    share.push_back(all[static_cast<size_t>(i)]);
  }
  return share;
}

}  // namespace residua
