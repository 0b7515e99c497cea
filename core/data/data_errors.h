#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace residua {

/// Counts and names the images that could not be read, up to a limit. Thread-safe.
class DataErrors {
 public:
  /// The limit is `max_bad_images` different images, or the share `max_bad_share` of all `images`, whichever is smaller.
  DataErrors(int64_t max_bad_images, double max_bad_share, int64_t images);

  /// Records a bad image; `what` is the error message. Each image counts once. Above the limit every call, on any thread, fails
  /// with the same summary.
  void add(const std::string& name, const std::string& what);

  /// Fails with the same message if `count` bad images, which `summary` names, are above the limit.
  void check(int64_t count, const std::string& summary) const;

  /// Number of distinct bad images so far.
  int64_t count() const;
  /// The first few messages, one per line, and how many more there are; empty if there are none.
  std::string summary() const;
  /// Returns the messages added since the last call.
  std::vector<std::string> take_new();

 private:
  std::string summary_locked() const;

  const int64_t max_bad_images_;
  const double max_bad_share_;
  const int64_t images_;
  const int64_t allowed_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> messages_;  // by image name
  std::vector<std::string> new_;
};

}  // namespace residua
