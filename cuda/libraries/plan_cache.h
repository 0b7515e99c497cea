#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace residua::cuda {

/// The outcome of timing the ways to do one thing.
struct Choice {
  std::string name;
  std::vector<std::pair<std::string, double>> milliseconds;  // of each way that could be used
  std::string refusal = {};                                  // why another could not; empty: each could
};

/// Choices kept on disk, so that a second run does not time again. They hold for one kind of device: its name and the versions
/// of the libraries. A file that is damaged, of another version or not writable costs time, never more.
class PlanCache {
 public:
  /// `path` may not exist yet; with "" nothing is kept on disk.
  PlanCache(std::string path, std::string device);

  /// $XDG_CACHE_HOME/residua/plans.json, or that under ~/.cache; "" where neither variable is set.
  static std::string default_path();

  std::optional<Choice> find(const std::string& key) const;
  /// Keeps a choice, beside those that other processes have written meanwhile.
  void put(const std::string& key, Choice choice);

 private:
  std::string path_;
  std::string device_;
  std::map<std::string, Choice> choices_;
};

}  // namespace residua::cuda
