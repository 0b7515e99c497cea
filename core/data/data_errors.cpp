#include "core/data/data_errors.h"

#include <algorithm>
#include <utility>

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
    new_.push_back({.name = name, .message = what});
  }
  if (too_many()) {
    fail("{}", limit_message(std::ssize(messages_), summary_of(messages_)));
  }
}

std::vector<std::string> DataErrors::merge(const std::vector<BadImage>& found) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> messages;
  for (const auto& [name, message] : found) {
    if (merged_.emplace(name, message).second) {
      messages_[name] = message;  // of the first process that found it
      messages.push_back(message);
    }
  }
  check(std::ssize(merged_), summary_of(merged_));  // messages_ may already have more, which the others do not know yet
  return messages;
}

void DataErrors::check(int64_t count, const std::string& summary) const {
  if (count > allowed_) {
    throw TooManyBadImages(limit_message(count, summary));
  }
}

int64_t DataErrors::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(messages_.size());
}

std::string DataErrors::summary() const {
  const std::lock_guard lock(mutex_);
  return summary_of(messages_);
}

bool DataErrors::has_new() const {
  const std::lock_guard lock(mutex_);
  return !new_.empty();
}

std::vector<BadImage> DataErrors::take_new() {
  const std::lock_guard lock(mutex_);
  return std::exchange(new_, {});
}

std::string DataErrors::limit_message(int64_t count, const std::string& summary) const {
  return fmt::format("{} of {} images cannot be read; wanted at most {} (max-bad-images is {}, max-bad-share is {}):\n{}",
                     count, images_, allowed_, max_bad_images_, max_bad_share_, summary);
}

std::string DataErrors::summary_of(const Messages& messages) {
  constexpr int kShown = 10;
  std::string text;
  int shown = 0;
  for (const auto& [name, message] : messages) {
    if (shown++ == kShown) {
      text += fmt::format("  and {} more\n", messages.size() - kShown);
      break;
    }
    text += fmt::format("  {}\n", message);
  }
  return text;
}

}  // namespace residua
