#pragma once

#include <map>

#include "core/device/autotune.h"
#include "cuda/libraries/autotune.h"

namespace residua::cuda {

/// The plans that a process uses for one contract, by the properties that they depend on.
template <class Key, class Args>
class PlanTable {
 public:
  /// Runs `args` with the plan for `key`. `choose()` returns a ChosenPlan. It is called the first time, and once more if the
  /// plan has not been tuned and timing is now allowed.
  template <class Choose>
  void run(const Key& key, const Args& args, Stream& stream, const Choose& choose) {
    auto found = plans_.find(key);
    if (found == plans_.end() || (!found->second.tuned && autotune_allowed())) {
      found = plans_.insert_or_assign(key, choose()).first;
    }
    found->second.plan(args, stream);
  }

 private:
  std::map<Key, ChosenPlan<Args>> plans_;
};

}  // namespace residua::cuda
