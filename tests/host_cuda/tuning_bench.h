#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/device/device_api.h"
#include "cuda/libraries/autotune.h"

namespace residua::test {

/// Candidates that note what happens to them; the clock shows what was set for the one that ran last.
class TuningBench {
 public:
  explicit TuningBench(const std::string& path = "") : cache(path, "device") {}

  std::vector<cuda::Candidate<int>> candidates(const std::vector<std::string>& names) {
    std::vector<cuda::Candidate<int>> all;
    for (const std::string& name : names) {
      all.push_back({name, [this, name]() -> cuda::Plan<int> {
                       ++built[name];
                       if (milliseconds[name].empty()) {
                         throw Error(name + " is not supported");
                       }
                       return [this, name](const int&, cuda::Stream&) {
                         ++runs[name];
                         last = name;
                         if (fails_at_run.contains(name) && runs[name] == fails_at_run[name]) {
                           throw Error("it runs no more");
                         }
                         if (name == "broken") {
                           throw Error("it does not run");
                         }
                         if (name == "worse") {
                           throw Error("it does not run either");
                         }
                         if (name == "large") {
                           throw OutOfMemory("too large");
                         }
                         if (name == "faulty") {
                           throw DeviceFault("illegal address");
                         }
                       };
                     }});
    }
    return all;
  }

  std::string tuned_from(const std::vector<std::string>& names) {
    const cuda::ChosenPlan<int> chosen =
        cuda::autotune<int>("key", candidates(names), 0, cuda::current_stream({Device::Type::cuda, 0}), cache, clock());
    chosen.plan(0, cuda::current_stream({Device::Type::cuda, 0}));
    choice = chosen.choice;
    tuned = chosen.tuned;
    return last;
  }

  std::string taken_by_rule_from(const std::vector<std::string>& names) {
    const cuda::ChosenPlan<int> chosen =
        cuda::choose_by_rule<int>("key", candidates(names), 0, cuda::current_stream({Device::Type::cuda, 0}), cache);
    chosen.plan(0, cuda::current_stream({Device::Type::cuda, 0}));
    choice = chosen.choice;
    tuned = chosen.tuned;
    return last;
  }

  cuda::Clock clock() {
    return [this](const std::function<void()>& work) {
      work();
      const std::vector<double>& shown = milliseconds[last];
      return shown[static_cast<size_t>(timings[last]++) % shown.size()];
    };
  }

  std::map<std::string, std::vector<double>> milliseconds;  // of successive runs, the first to load; none: cannot be built
  std::map<std::string, int> built, runs, timings;
  std::map<std::string, int> fails_at_run;
  std::string last;
  cuda::PlanCache cache;
  cuda::Choice choice;
  bool tuned = false;
};

}  // namespace residua::test
