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
}

std::vector<int64_t> Sampler::order(int64_t epoch) const {
  std::vector<int64_t> all(static_cast<size_t>(options_.size));
  std::iota(all.begin(), all.end(), int64_t{0});
  if (options_.shuffle) {
    Random random(options_.seed, RandomPurpose::order, static_cast<uint64_t>(epoch), 0);
    for (size_t i = all.size() - 1; i > 0; --i) {
      std::swap(all[i], all[static_cast<size_t>(random.below(static_cast<int64_t>(i) + 1))]);
    }
  }
  return all;
}

}  // namespace residua
