#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace residua {

/// The images that could not be read: counted and named, with a limit. Safe to use from many threads.
class DataErrors {
 public:
  /// Of `images` images, more than `max_bad_images` different bad ones are too many, and so are more than `max_bad_share` of
  /// them.
  DataErrors(int64_t max_bad_images, double max_bad_share, int64_t images);

  /// Notes a bad image; `what` is the error's message. The same image again counts once. Fails with a summary when there are
  /// too many, the same one from then on, whichever thread sees it first.
  void add(const std::string& name, const std::string& what);

  /// Number of different bad images so far.
  int64_t count() const;
  /// The first few messages, one a line, and how many more there are; empty if there is none.
  std::string summary() const;
  /// The messages since the last call.
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
