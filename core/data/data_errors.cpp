#include "core/data/data_errors.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"

namespace residua {

DataErrors::DataErrors(int64_t max_bad_images, double max_bad_share, int64_t images)
    : max_bad_images_(max_bad_images),
      max_bad_share_(max_bad_share),
      images_(images),
      allowed_(std::min(max_bad_images, static_cast<int64_t>(max_bad_share * static_cast<double>(images)))) {}

void DataErrors::add(const std::string& name, const std::string& what) {
  const std::lock_guard lock(mutex_);
  const auto too_many = [&] { return std::ssize(messages_) > allowed_; };
  if (!too_many() && messages_.emplace(name, what).second) {
    new_.push_back(what);
  }
  if (too_many()) {
    check(std::ssize(messages_), summary_locked());
  }
}

void DataErrors::check(int64_t count, const std::string& summary) const {
  if (count > allowed_) {
    fail("{} of {} images cannot be read; wanted at most {} (max-bad-images is {}, max-bad-share is {}):\n{}", count, images_,
         allowed_, max_bad_images_, max_bad_share_, summary);
  }
}

int64_t DataErrors::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(messages_.size());
}

std::string DataErrors::summary() const {
  const std::lock_guard lock(mutex_);
  return summary_locked();
}

std::vector<std::string> DataErrors::take_new() {
  const std::lock_guard lock(mutex_);
  return std::exchange(new_, {});
}

std::string DataErrors::summary_locked() const {
  constexpr int kShown = 10;
  std::string text;
  int shown = 0;
  for (const auto& [name, message] : messages_) {
    if (shown++ == kShown) {
      text += fmt::format("  and {} more\n", messages_.size() - kShown);
      break;
    }
    text += fmt::format("  {}\n", message);
  }
  return text;
}

}  // namespace residua
