#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/data/source.h"

namespace residua::test {

/// Images of 2 x 2 pixels. Counts how often it is read.
class TwoByTwo final : public ImageSource {
 public:
  /// The red values of each image; green is 10 and blue 255. `fixed_size` is what the source says of itself.
  TwoByTwo(std::vector<std::vector<uint8_t>> red, std::optional<ImageSize> fixed_size)
      : red_(std::move(red)), fixed_size_(fixed_size) {}

  int64_t size() const override { return static_cast<int64_t>(red_.size()); }
  const std::vector<std::string>& class_names() const override { return names_; }
  int32_t label(int64_t i) const override { return static_cast<int32_t>(i % 2); }
  std::string name(int64_t i) const override { return "image " + std::to_string(i); }
  std::optional<ImageSize> fixed_size() const override { return fixed_size_; }
  void read(int64_t i, EncodedImage& out) const override {
    ++reads;
    out.storage.clear();
    for (const uint8_t red : red_[static_cast<size_t>(i)]) {
      out.storage.insert(out.storage.end(), {red, 10, 255});
    }
    out.set_rgb(out.storage, {2, 2});
  }

  mutable int64_t reads = 0;  // of one thread

 private:
  std::vector<std::vector<uint8_t>> red_;
  std::optional<ImageSize> fixed_size_;
  std::vector<std::string> names_{"a", "b"};
};

/// Two images, whose red values have mean 7 and variance 39.
inline std::shared_ptr<TwoByTwo> two_by_two(std::optional<ImageSize> fixed_size) {
  return std::make_shared<TwoByTwo>(std::vector<std::vector<uint8_t>>{{0, 4, 8, 12}, {8, 20, 0, 4}}, fixed_size);
}

inline std::shared_ptr<TwoByTwo> many_two_by_two(int images) {
  std::vector<std::vector<uint8_t>> red;
  for (int i = 0; i < images; ++i) {
    red.push_back({static_cast<uint8_t>(i), static_cast<uint8_t>(7 * i), static_cast<uint8_t>(i / 3), 9});
  }
  return std::make_shared<TwoByTwo>(std::move(red), std::nullopt);
}

/// Of `images` images only the odd ones can be read, and they are 1 x 1 pixels of value 6.
class HalfBroken final : public ImageSource {
 public:
  explicit HalfBroken(int64_t images) : images_(images) {}
  int64_t size() const override { return images_; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int32_t label(int64_t) const override { return 0; }
  std::string name(int64_t i) const override { return "image " + std::to_string(i); }
  std::optional<ImageSize> fixed_size() const override { return std::nullopt; }
  void read(int64_t i, EncodedImage& out) const override {
    if (i % 2 == 0) {
      fail("{}: broken", name(i));
    }
    out.storage = {6, 6, 6};
    out.set_rgb(out.storage, {1, 1});
  }

 private:
  int64_t images_;
  std::vector<std::string> names_{"only"};
};

}  // namespace residua::test
