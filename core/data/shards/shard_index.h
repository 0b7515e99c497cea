#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/data/codecs/image.h"
#include "core/data/source.h"

/// Tar shards: a folder with train-000000.tar, train-000001.tar, ... and the same for val; classes.txt; and an index of each
/// split. A sample is two neighbors in a tar file, KEY.jpg (or another image) and KEY.cls, its label as decimal digits. This is
/// the layout of the Python package webdataset: https://github.com/webdataset/webdataset
namespace residua {

/// An image in a shard.
struct ShardImage {
  std::string name = {};  // of the member
  uint64_t offset = 0;
  uint64_t size = 0;
  int32_t label = 0;
};

/// One tar file.
struct Shard {
  std::string file = {};  // its name
  uint64_t bytes = 0;
  std::string digest = {};  // of all its bytes: FNV-1a
  std::vector<ShardImage> images = {};
};

/// What is known of a split before its shards are written; the first line of an index.
struct ShardHeader {
  int64_t images = 0;         // of the complete split
  std::string classes = {};   // digest of the class names
  std::string source = {};    // digest of the set of images that was packed; empty if another program wrote the shards
  std::string encoding = {};  // how the images were encoded; empty: as they were
  int64_t shard_mib = 0;      // the size at which a shard is full
  std::optional<ImageSize> fixed_size = {};

  bool operator==(const ShardHeader&) const = default;
};

struct ShardIndex {
  ShardHeader header;
  std::vector<Shard> shards;

  /// Number of images in the shards that are listed.
  int64_t images() const;
};

/// "train-000003.tar".
std::string shard_name(Split split, int64_t number);
/// "train-index.jsonl".
std::string shard_index_name(Split split);

/// The names of a split's shards in a folder, by number. Never fails.
std::vector<std::string> find_shards(const std::filesystem::path& folder, Split split);
/// The same. Fails with UsageError if a number is missing between 0 and the last.
std::vector<std::string> list_shards(const std::filesystem::path& folder, Split split);

/// The class names in FOLDER/classes.txt, a line each, in the order of the labels. Fails with UsageError if the file is missing
/// or has an empty line.
std::vector<std::string> read_shard_classes(const std::filesystem::path& folder);
/// The text of classes.txt. Fails with UsageError if a name does not fit into a line.
std::string shard_classes_text(const std::vector<std::string>& names);

/// The lines of an index, each with its end.
std::string to_line(const ShardHeader& header);
std::string to_line(const Shard& shard);

/// Reads an index and checks every value in it against the others and against the number of classes. With `to_resume`, damage
/// ends the list of shards instead: a killed program can leave a part of a line. Fails with Error, which names the file and the
/// line.
ShardIndex read_shard_index(const std::filesystem::path& path, int64_t classes, bool to_resume = false);

/// Reads a shard of any writer: its samples and its digest. Fails with Error, which names the shard and the sample, if the tar
/// file is damaged, a key occurs twice, or a sample lacks its label, has a label out of range or has no image or more than one.
/// `left_out` grows by the number of members that are neither.
Shard index_shard(const std::filesystem::path& path, int64_t classes, int64_t& left_out);

}  // namespace residua
