/// Tar shards in the layout of the Python package webdataset: see core/data/shards/shard_index.h. Images are read in place.
#include <algorithm>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/join.h"
#include "core/base/warning.h"
#include "core/data/checked_files.h"
#include "core/data/digest.h"
#include "core/data/shards/shard_index.h"
#include "core/data/shards/tar.h"
#include "core/io/atomic_file.h"
#include "core/io/input_file.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

class TarShards final : public ImageSource, public CheckedFiles {
 public:
  TarShards(const fs::path& folder, Split split)
      : folder_(folder), split_(split), class_names_(read_shard_classes(folder)), files_(list_shards(folder, split)) {
    if (files_.empty()) {
      fail_usage("data folder '{}' {}; wanted {}, ...", folder.string(), describe_folder(folder), shard_name(split, 0));
    }
    if (const fs::path path = index_path(); fs::exists(path)) {
      index_ = read_shard_index(path, classes());
    } else {
      build_index();
    }
    check_index();
    for (const Shard& shard : index_.shards) {
      ends_.push_back((ends_.empty() ? 0 : ends_.back()) + static_cast<int64_t>(shard.images.size()));
    }
  }

  int64_t size() const override { return ends_.back(); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t i) const override { return at(i).image.label; }
  std::string name(int64_t i) const override {
    const Place place = at(i);
    return (folder_ / place.shard.file / place.image.name).string();
  }
  std::optional<ImageSize> fixed_size() const override { return index_.header.fixed_size; }

  std::optional<uint64_t> stored_bytes(int64_t i) const override { return at(i).image.size; }

  // Opens the shard each time, as a folder's source opens a file: a data set may have more shards than a process may open.
  void read(int64_t i, EncodedImage& out) const override {
    const Place place = at(i);
    const InputFile file((folder_ / place.shard.file).string());
    out.storage.resize(kTarBlock + place.image.size);
    read_member(file, place.image, out.storage);
    out.set_file();
    out.bytes = out.bytes.subspan(kTarBlock);
  }

  void check_file(int64_t i) const override {
    const Place place = at(i);
    if (&place.image != place.shard.images.data()) {
      return;
    }
    int64_t left_out = 0;
    const Shard found = index_shard(folder_ / place.shard.file, classes(), left_out);
    if (to_line(found) != to_line(place.shard)) {
      const std::string path = (folder_ / place.shard.file).string();
      if (found.digest == place.shard.digest) {
        fail("{}: {} lists other images or labels than it holds", path, shard_index_name(split_));
      }
      fail("{}: has changed: its digest is {}, and {} has {}", path, found.digest, shard_index_name(split_),
           place.shard.digest);
    }
  }

  std::vector<std::string> notes() const override { return notes_; }

 private:
  struct Place {
    const Shard& shard;
    const ShardImage& image;
  };

  int64_t classes() const { return static_cast<int64_t>(class_names_.size()); }
  fs::path index_path() const { return folder_ / shard_index_name(split_); }

  Place at(int64_t i) const {
    const auto end = std::ranges::upper_bound(ends_, i);
    const auto number = static_cast<size_t>(end - ends_.begin());
    const Shard& shard = index_.shards[number];
    const int64_t first = number == 0 ? 0 : ends_[number - 1];
    return {shard, shard.images[static_cast<size_t>(i - first)]};
  }

  /// Reads the header block and the bytes of a member.
  static void read_member(const InputFile& file, const ShardImage& image, std::vector<uint8_t>& bytes) {
    file.read(bytes.data(), bytes.size(), image.offset - kTarBlock);
    if (!is_tar_header(std::span<const uint8_t>(bytes).first(kTarBlock), image.name, image.size)) {
      fail("{}/{}: is not at byte {} of the shard: the shard is damaged, or the index is of another one", file.path(),
           image.name, image.offset);
    }
  }

  void build_index() {
    warn("{} is missing: reading the {} shards once to make it", index_path().string(), files_.size());
    int64_t left_out = 0;
    for (const std::string& file : files_) {
      index_.shards.push_back(index_shard(folder_ / file, classes(), left_out));
    }
    index_.header = {.images = index_.images(), .classes = text_digest(shard_classes_text(class_names_))};
    std::string text = to_line(index_.header);
    for (const Shard& shard : index_.shards) {
      text += to_line(shard);
    }
    try {
      atomic_write(index_path().string(), text);
      notes_.push_back(fmt::format("{}: written for {} shards", index_path().string(), files_.size()));
    } catch (const Error& error) {
      notes_.push_back(fmt::format("the index of {} shards is in memory alone: {}", files_.size(), error.what()));
    }
    if (left_out > 0) {
      notes_.push_back(
          fmt::format("{}: {} members of the shards are skipped: neither images nor labels", index_path().string(), left_out));
    }
  }

  /// Holds the index to the files: names, sizes, and the first and last image of each.
  void check_index() const {
    const std::string path = index_path().string();
    if (const int64_t images = index_.images(); images != index_.header.images || images == 0) {
      fail_usage("{}: lists {} of {} images: packing has stopped early; run pack-imagenet again to continue it", path, images,
                 index_.header.images);
    }
    if (index_.header.classes != text_digest(shard_classes_text(class_names_))) {
      fail_usage("{}: was made with another classes.txt; restore that file", path);
    }
    std::vector<std::string> listed;
    for (const Shard& shard : index_.shards) {
      listed.push_back(shard.file);
    }
    if (listed != files_) {
      const auto [file, entry] = std::ranges::mismatch(files_, listed);
      fail_usage("{}: lists {} shards, the folder has {}: {} is {}", path, listed.size(), files_.size(),
                 entry != listed.end() ? *entry : *file, entry != listed.end() ? "missing" : "not in the index");
    }
    std::vector<uint8_t> bytes;
    for (const Shard& shard : index_.shards) {
      const InputFile file((folder_ / shard.file).string());
      if (file.size() != shard.bytes || shard.images.empty()) {
        fail("{}: has {} bytes; wanted {}, as {} says: the shard has been cut or replaced", file.path(), file.size(),
             shard.bytes, shard_index_name(split_));
      }
      for (const ShardImage* image : {&shard.images.front(), &shard.images.back()}) {
        bytes.resize(kTarBlock);
        read_member(file, *image, bytes);
      }
    }
  }

  const fs::path folder_;
  const Split split_;
  const std::vector<std::string> class_names_;
  const std::vector<std::string> files_;
  ShardIndex index_;
  std::vector<int64_t> ends_;  // of each shard: the number of images in it and before it
  std::vector<std::string> notes_;
};

class TarShardsKind final : public SourceKind {
 public:
  std::string layout() const override {
    return fmt::format("{}, ... and {}, ... with members KEY.jpg and KEY.cls, and classes.txt", shard_name(Split::train, 0),
                       shard_name(Split::val, 0));
  }

  bool detect(const fs::path& folder) const override {
    return !find_shards(folder, Split::train).empty() || !find_shards(folder, Split::val).empty();
  }

  std::shared_ptr<const ImageSource> open(const fs::path& folder, Split split,
                                          const SourceContext& /*context*/) const override {
    return std::make_shared<const TarShards>(folder, split);
  }
};

const auto kTarShards =
    registered<SourceKind, TarShardsKind>("webdataset", "tar shards, as pack-imagenet and webdataset write them");

}  // namespace
}  // namespace residua
