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

/// The result of one autotuning run.
struct Choice {
  std::string name;
  std::vector<std::pair<std::string, double>> milliseconds;  // of each usable plan
  std::string rejection_reason = {};                         // why another plan could not be used; empty if all could
};

/// The cache's name for a device with these options. Choices made under other options are kept apart.
std::string plan_cache_device(const std::string& device, const device_api::PlanOptions& options);

/// Choices kept on disk, so that a second run need not time plans again, and the rejected plans: those whose trial a process
/// did not survive. Both are valid for one kind of device: its name and the versions of the libraries. A file that is damaged,
/// of another version or not writable only costs time. The cache warns about problems.
class PlanCache {
 public:
  /// `path` need not exist; an empty path keeps nothing on disk. Rejects the plans that other processes were trying when they
  /// died.
  PlanCache(std::string path, std::string device);

  /// plans.json in cache_folder(); empty if there is none.
  static std::string default_path();

  std::optional<Choice> find(const std::string& key) const;
  /// Keeps a choice for this process and, after the next save(), for later ones.
  void put(const std::string& key, Choice choice);
  /// Ends an autotuning pass: writes the choices since the last save() and keeps what other processes have written meanwhile.
  void save();

  /// Why a plan must not be tried; empty if it may be tried.
  std::string rejection_reason(const std::string& key, const std::string& plan) const;
  /// Rejects a plan for this process and, because it is written immediately, for later ones.
  void reject(const std::string& key, const std::string& plan, const std::string& reason);

 private:
  friend class Trial;
  using Rejections = std::map<std::string, std::map<std::string, std::string>>;  // by key, then plan: the reason

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
  std::unique_ptr<TrialRecord> trials_;  // while plans are being tried
};

/// Records on disk, while it exists, that a plan is being tried. If the process dies meanwhile, the next process rejects the
/// plan.
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
