#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/device/device_api.h"
#include "cuda/libraries/trial_record.h"

namespace residua::cuda {

/// The outcome of one autotuning.
struct Choice {
  std::string name;
  std::vector<std::pair<std::string, double>> milliseconds;  // of each plan that could be used
  std::string rejection_reason = {};                         // why another could not; empty: each could
};

/// What the cache calls a device when its plans are chosen by these options. Choices of other options are not the same choices.
std::string plan_cache_device(const std::string& device, const device_api::PlanOptions& options);

/// Choices kept on disk, so that a second run does not time again, and the plans that are rejected: those that a process tried
/// and did not come back from. Both hold for one kind of device: its name and the versions of the libraries. A file that is
/// damaged, of another version or not writable costs time, never more. It warns of what goes wrong.
class PlanCache {
 public:
  /// `path` may not exist yet; with "" nothing is kept on disk. Rejects what other processes were trying when they ended.
  PlanCache(std::string path, std::string device);

  /// $XDG_CACHE_HOME/residua/plans.json, or that under ~/.cache; "" where neither variable is set.
  static std::string default_path();

  std::optional<Choice> find(const std::string& key) const;
  /// Keeps a choice for this process and, with the next save(), for later ones.
  void put(const std::string& key, Choice choice);
  /// Ends a pass of autotuning: writes what was put since the last one, beside what other processes have written meanwhile.
  void save();

  /// Why a plan must not be tried; empty where it may.
  std::string rejection_reason(const std::string& key, const std::string& plan) const;
  /// Rejects a plan for this process and, written at once, for later ones.
  void reject(const std::string& key, const std::string& plan, const std::string& reason);

 private:
  friend class Trial;
  using Rejections = std::map<std::string, std::map<std::string, std::string>>;  // reasons by key and plan

  void read_file();
  void reject_unfinished();
  void write_file();
  void merge_into_file();
  void begin_trial(const std::string& key, const std::string& plan, Durability durability);
  void end_trial() noexcept;
  void keep_nothing(const char* what);

  std::string path_;
  std::string device_;
  std::map<std::string, Choice> choices_;
  std::map<std::string, Choice> unsaved_;
  Rejections rejections_;
  Rejections unsaved_rejections_;
  std::unique_ptr<TrialRecord> trials_;  // while plans are tried
};

/// Says on disk, while it lives, that a plan is being tried: should the process end meanwhile, the next one rejects the plan.
class Trial {
 public:
  Trial(PlanCache& cache, const std::string& key, const std::string& plan, Durability durability) : cache_(cache) {
    cache_.begin_trial(key, plan, durability);
  }
  ~Trial() { cache_.end_trial(); }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

 private:
  PlanCache& cache_;
};

}  // namespace residua::cuda
