#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <set>

#include "core/base/error.h"
#include "core/data/fnv.h"
#include "core/data/shards/shard_index.h"
#include "core/data/shards/tar.h"
#include "core/io/input_file.h"

namespace residua {
namespace {

/// The endings of members that hold an image. The decoder looks at the contents.
constexpr std::array<std::string_view, 7> kImages{"jpg", "jpeg", "jfif", "png", "bmp", "ppm", "pgm"};
constexpr std::string_view kLabel = "cls";

std::string digest_of(const InputFile& file) {
  constexpr uint64_t kPart = uint64_t{1} << 22;
  std::vector<uint8_t> part(std::min(kPart, file.size()));
  Fnv fnv;
  for (uint64_t at = 0; at < file.size();) {
    const uint64_t bytes = std::min(kPart, file.size() - at);
    file.read(part.data(), bytes, at);
    fnv.add(std::span<const uint8_t>(part).first(bytes));
    at += bytes;
  }
  return fnv.digest();
}

/// A member's name in two parts, as webdataset has it: the key ends at the first dot of the last part of the path.
struct Parts {
  std::string key;
  std::string ending;  // lower case; empty if there is no key
};

Parts parts_of(const std::string& name) {
  const size_t begin = name.rfind('/') + 1;
  const size_t dot = name.find('.', begin);
  if (dot == std::string::npos || dot == begin) {
    return {};
  }
  Parts parts{name.substr(0, dot), name.substr(dot + 1)};
  std::ranges::transform(parts.ending, parts.ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return parts;
}

/// Puts a shard's members together.
class Samples {
 public:
  Samples(const InputFile& file, int64_t classes) : file_(file), classes_(classes) {}

  void add(const TarMember& member, const Parts& parts) {
    if (parts.key != key_) {
      finish();
      if (!keys_.insert(parts.key).second) {
        fail("{}: the key '{}' occurs twice", file_.path(), parts.key);
      }
      key_ = parts.key;
    }
    if (parts.ending == kLabel) {
      if (has_label_) {
        fail("{}: sample '{}' has two labels", file_.path(), key_);
      }
      image_.label = label_in(member);
      has_label_ = true;
      return;
    }
    if (!image_.name.empty()) {
      fail("{}: sample '{}' has two images, '{}' and '{}'", file_.path(), key_, image_.name, member.name);
    }
    image_.name = member.name;
    image_.offset = member.offset;
    image_.size = member.size;
  }

  void finish() {
    if (key_.empty()) {
      return;
    }
    if (image_.name.empty() || !has_label_) {
      fail("{}: sample '{}' has no {}; wanted {}.{}", file_.path(), key_, has_label_ ? "image" : "label", key_,
           has_label_ ? "jpg" : kLabel);
    }
    images_.push_back(std::move(image_));
    image_ = {};
    has_label_ = false;
    key_.clear();
  }

  std::vector<ShardImage> images() {
    finish();
    return std::move(images_);
  }

 private:
  int32_t label_in(const TarMember& member) const {
    constexpr uint64_t kMostBytes = 32;
    std::string text(std::min(member.size, kMostBytes), '\0');
    file_.read(text.data(), text.size(), member.offset);
    text.erase(text.find_last_not_of(" \r\n") + 1);
    int32_t label = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), label);
    if (member.size > kMostBytes || text.empty() || error != std::errc() || end != text.data() + text.size() || label < 0 ||
        label >= classes_) {
      fail("{}: '{}' holds {:?}; wanted a label from 0 to {}, a number for each line of classes.txt", file_.path(), member.name,
           text, classes_ - 1);
    }
    return label;
  }

  const InputFile& file_;
  const int64_t classes_;
  std::set<std::string> keys_;
  std::string key_;  // of the sample that grows
  ShardImage image_;
  bool has_label_ = false;
  std::vector<ShardImage> images_;
};

}  // namespace

Shard index_shard(const std::filesystem::path& path, int64_t classes, int64_t& left_out) {
  const InputFile file(path.string());
  Shard shard{.file = path.filename().string(), .bytes = file.size(), .digest = digest_of(file)};
  Samples samples(file, classes);
  for (const TarMember& member : list_tar(file)) {
    const Parts parts = parts_of(member.name);
    if (parts.ending == kLabel || std::ranges::find(kImages, parts.ending) != kImages.end()) {
      samples.add(member, parts);
    } else {
      ++left_out;
    }
  }
  shard.images = samples.images();
  if (shard.images.empty()) {
    fail("{}: has no image; wanted samples of KEY.jpg and KEY.{}", path.string(), kLabel);
  }
  return shard;
}

}  // namespace residua
