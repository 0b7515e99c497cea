#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace residua {

/// There are more bad images than the limits allow. All ranks throw it together.
class TooManyBadImages : public Error {
 public:
  using Error::Error;
};

/// An image that could not be read.
struct BadImage {
  std::string name;
  std::string message;  // says why, with the name
  bool operator==(const BadImage&) const = default;
};

/// Counts and names the images that could not be read, up to a limit. Several processes share what they find by merge().
/// Thread-safe.
class DataErrors {
 public:
  /// The limit is `max_bad_images` different images, or the share `max_bad_share` of all `images`, whichever is smaller.
  DataErrors(int64_t max_bad_images, double max_bad_share, int64_t images);

  /// Records a bad image; `what` is the error message. Each image counts once. Above the limit every call, on any thread, fails
  /// with the same summary.
  void add(const std::string& name, const std::string& what);

  /// Takes over what all processes have found: the same list in each, of which each had its part from take_new(). Returns the
  /// messages of the images that no list has named before. Throws TooManyBadImages if all lists together are above the limit.
  std::vector<std::string> merge(const std::vector<BadImage>& found);

  /// Throws TooManyBadImages with the same message if `count` bad images, which `summary` names, are above the limit.
  void check(int64_t count, const std::string& summary) const;

  /// Number of distinct bad images so far: those found here and those merged.
  int64_t count() const;
  /// The first few messages, one per line, and how many more there are; empty if there are none.
  std::string summary() const;
  /// Whether images have been added since the last take_new().
  bool has_new() const;
  /// Returns the images added since the last call.
  std::vector<BadImage> take_new();

 private:
  using Messages = std::map<std::string, std::string>;  // by image name

  static std::string summary_of(const Messages& messages);
  std::string limit_message(int64_t count, const std::string& summary) const;

  const int64_t max_bad_images_;
  const double max_bad_share_;
  const int64_t images_;
  const int64_t allowed_;
  mutable std::mutex mutex_;
  Messages messages_;
  Messages merged_;  // the part of them that all processes know
  std::vector<BadImage> new_;
};

}  // namespace residua
