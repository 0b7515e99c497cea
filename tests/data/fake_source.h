#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/data/source.h"

namespace residua::test {

/// Images whose pixels and labels are a function of their index; some of them cannot be read.
class FakeSource final : public ImageSource {
 public:
  struct Options {
    int64_t images = 0;
    ImageSize size{8, 8};
    std::vector<int64_t> bad = {};               // these cannot be read
    int64_t bad_every = 0;                       // nor can image 0, n, 2n, ...
    int64_t thrower = -1;                        // this image throws something that is not an Error
    std::map<int64_t, int64_t> stands_for = {};  // image i holds what is image stands_for[i] otherwise
    std::function<void(int64_t)> on_read = {};   // called with the index before each read
  };
  explicit FakeSource(Options options) : options_(std::move(options)) {}

  int64_t size() const override { return options_.images; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int32_t label(int64_t i) const override { return static_cast<int32_t>(content(i) % 10); }
  std::string name(int64_t i) const override { return "fake " + std::to_string(i); }
  std::optional<ImageSize> fixed_size() const override { return options_.size; }
  void read(int64_t i, EncodedImage& out) const override {
    if (options_.on_read) {
      options_.on_read(i);
    }
    {
      const std::lock_guard lock(mutex_);
      ++reads_[i];
    }
    if (i == options_.thrower) {
      throw std::runtime_error("disk on fire");
    }
    if ((options_.bad_every > 0 && i % options_.bad_every == 0) ||
        std::find(options_.bad.begin(), options_.bad.end(), i) != options_.bad.end()) {
      fail("{}: is bad", name(i));
    }
    out.storage.resize(static_cast<size_t>(options_.size.height * options_.size.width * 3));
    for (size_t p = 0; p < out.storage.size(); ++p) {
      out.storage[p] = pixel(content(i), p);
    }
    out.set_rgb(out.storage, options_.size);
  }

  static uint8_t pixel(int64_t image, size_t p) { return static_cast<uint8_t>(image * 7 + static_cast<int64_t>(p)); }

  /// Reads of all images so far, and of one.
  int64_t reads() const {
    const std::lock_guard lock(mutex_);
    int64_t sum = 0;
    for (const auto& [image, reads] : reads_) {
      sum += reads;
    }
    return sum;
  }
  int64_t reads_of(int64_t image) const {
    const std::lock_guard lock(mutex_);
    const auto found = reads_.find(image);
    return found == reads_.end() ? 0 : found->second;
  }

 private:
  int64_t content(int64_t i) const {
    const auto found = options_.stands_for.find(i);
    return found == options_.stands_for.end() ? i : found->second;
  }

  Options options_;
  std::vector<std::string> names_ = std::vector<std::string>(10, "class");
  mutable std::mutex mutex_;
  mutable std::map<int64_t, int64_t> reads_;
};

}  // namespace residua::test
