#include "core/data/shards/shard_index.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/class_names.h"
#include "core/data/codecs/region.h"
#include "core/data/shards/tar.h"
#include "core/io/list_folder.h"
#include "core/io/parse_json.h"
#include "core/io/read_file.h"

namespace residua {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr int64_t kMostImageBytes = int64_t{1} << 31;
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

constexpr std::string_view kSuffix = ".tar";

std::string prefix_of(Split split) { return split == Split::train ? "train-" : "val-"; }

/// A whole number from `least` to `most`.
int64_t whole_number(const Json& value, int64_t most, int64_t least = 0) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(most) ||
      value.get<uint64_t>() < static_cast<uint64_t>(least)) {
    constexpr size_t kShown = 40;
    fail("got {}, wanted a whole number from {} to {}", value.dump().substr(0, kShown), least, most);
  }
  return value.get<int64_t>();
}

ShardHeader header_of(const Json& line) {
  if (const int64_t format = whole_number(line.at("format"), kMost); format != kFormat) {
    fail("the format is {}, wanted {}; another version of Residua wrote it", format, kFormat);
  }
  ShardHeader header{.images = whole_number(line.at("images"), kMost),
                     .classes = line.at("classes").get<std::string>(),
                     .source = line.at("source").get<std::string>(),
                     .encoding = line.at("encoding").get<std::string>(),
                     .shard_mib = whole_number(line.at("shard_mib"), kMost)};
  if (const Json& size = line.at("image_size"); !size.is_null()) {
    const int64_t height = whole_number(size.at(0), kMaxImagePixels, 1);
    header.fixed_size = {.height = height, .width = whole_number(size.at(1), kMaxImagePixels / height, 1)};
  }
  return header;
}

Shard shard_of(const Json& line, int64_t classes) {
  Shard shard{.file = line.at("shard").get<std::string>(),
              .bytes = static_cast<uint64_t>(whole_number(line.at("bytes"), kMost)),
              .digest = line.at("digest").get<std::string>()};
  const Json& images = line.at("images");
  shard.images.reserve(images.size());
  uint64_t end = 0;
  for (const Json& image : images) {
    ShardImage entry{.name = image.at(0).get<std::string>(),
                     .offset = static_cast<uint64_t>(whole_number(image.at(1), kMost)),
                     .size = static_cast<uint64_t>(whole_number(image.at(2), kMostImageBytes)),
                     .label = static_cast<int32_t>(whole_number(image.at(3), classes - 1))};
    if (entry.offset % kTarBlock != 0 || entry.offset < end + kTarBlock || entry.offset > shard.bytes ||
        entry.size > shard.bytes - entry.offset) {
      fail("image '{}' is at byte {} and has {} bytes, which does not fit into the shard", entry.name, entry.offset,
           entry.size);
    }
    end = entry.offset + entry.size;
    shard.images.push_back(std::move(entry));
  }
  return shard;
}

}  // namespace

int64_t ShardIndex::images() const {
  int64_t sum = 0;
  for (const Shard& shard : shards) {
    sum += static_cast<int64_t>(shard.images.size());
  }
  return sum;
}

std::string shard_name(Split split, int64_t number) { return fmt::format("{}{:06}.tar", prefix_of(split), number); }

std::string shard_index_name(Split split) { return prefix_of(split) + "index.jsonl"; }

std::vector<std::string> find_shards(const fs::path& folder, Split split) {
  const std::string prefix = prefix_of(split);
  std::vector<std::string> names;
  for (const std::string& path : list_folder(folder.string())) {
    const std::string name = fs::path(path).filename().string();
    if (name.size() > prefix.size() + kSuffix.size() && name.starts_with(prefix) && name.ends_with(kSuffix) &&
        std::all_of(name.begin() + static_cast<std::ptrdiff_t>(prefix.size()), name.end() - kSuffix.size(),
                    [](char c) { return c >= '0' && c <= '9'; })) {
      names.push_back(name);
    }
  }
  // By number, whether or not all numbers have the same width.
  std::ranges::sort(names, {}, [](const std::string& name) { return std::pair(name.size(), name); });
  return names;
}

std::vector<std::string> list_shards(const fs::path& folder, Split split) {
  const std::string prefix = prefix_of(split);
  std::vector<std::string> names = find_shards(folder, split);
  for (size_t i = 0; i < names.size(); ++i) {
    const size_t digits = names[i].size() - prefix.size() - kSuffix.size();
    if (const std::string wanted = fmt::format("{}{:0{}}{}", prefix, i, digits, kSuffix); names[i] != wanted) {
      fail_usage("data folder '{}' has {}, but not {}", folder.string(), names[i], wanted);
    }
  }
  return names;
}

std::vector<std::string> read_shard_classes(const fs::path& folder) {
  const fs::path path = folder / "classes.txt";
  if (!fs::is_regular_file(path)) {
    fail_usage("'{}' is missing; wanted the names of the classes, one a line, in the order of the labels", path.string());
  }
  return read_class_names(path);
}

std::string shard_classes_text(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    if (name.empty() || name.find_first_of("\r\n") != std::string::npos) {
      fail_usage("class {:?} cannot be packed: its name must fit into a line of classes.txt", name);
    }
    text += name + "\n";
  }
  return text;
}

std::string to_line(const ShardHeader& header) {
  const Json size = header.fixed_size ? Json{header.fixed_size->height, header.fixed_size->width} : Json();
  return Json{{"format", kFormat},       {"images", header.images},     {"classes", header.classes},
              {"source", header.source}, {"encoding", header.encoding}, {"shard_mib", header.shard_mib},
              {"image_size", size}}
             .dump() +
         "\n";
}

std::string to_line(const Shard& shard) {
  Json images = Json::array();
  for (const ShardImage& image : shard.images) {
    images.push_back(Json::array({image.name, image.offset, image.size, image.label}));
  }
  try {
    return Json{{"shard", shard.file}, {"bytes", shard.bytes}, {"digest", shard.digest}, {"images", std::move(images)}}.dump() +
           "\n";
  } catch (const Json::type_error&) {
    fail("{}: a member has a name that is not UTF-8", shard.file);
  }
}

ShardIndex read_shard_index(const fs::path& path, int64_t classes, bool to_resume) {
  ShardIndex index;
  const std::vector<std::string> lines = read_lines(path);
  for (size_t i = 0; i < std::max<size_t>(lines.size(), 1); ++i) {
    try {
      const Json line = parse_json(lines.empty() ? "" : lines[i]);
      if (i == 0) {
        index.header = header_of(line);
      } else {
        index.shards.push_back(shard_of(line, classes));
      }
    } catch (const std::exception& error) {
      if (to_resume && i > 0) {
        break;
      }
      fail("{}: line {}: {}", path.string(), i + 1, error.what());
    }
  }
  return index;
}

}  // namespace residua
