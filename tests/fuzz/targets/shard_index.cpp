// The index of a sound shard: {"format": 1, ...} and a line for each shard.
#include <filesystem>

#include "core/base/error.h"
#include "core/data/shards/tar.h"
#include "core/data/source.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

std::string make_folder() {
  std::string tar;
  const auto add = [&](const std::string& name, const std::string& text) {
    append_tar_member(tar, name, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  add("0.ppm", "P6 1 1 255\nabc");
  add("0.cls", "0");
  add("1.ppm", "P6 1 1 255\nxyz");
  add("1.cls", "1");
  fuzz_file("index/classes.txt", std::string("a\nb\n"));
  return std::filesystem::path(fuzz_file("index/train-000000.tar", tar + tar_end())).parent_path().string();
}

void read_all(std::span<const uint8_t> bytes) {
  static const std::string folder = make_folder();
  fuzz_file("index/train-index.jsonl", bytes);
  const auto source = open_source("webdataset", folder, Split::train);
  EncodedImage image;
  for (int64_t i = 0; i < source->size(); ++i) {
    require(source->label(i) >= 0 && source->label(i) < 2, "a label is out of range");
    try {
      source->read(i, image);
    } catch (const Error&) {
    }
  }
}

const RegisterFuzzTarget kTarget("shard_index", read_all);

}  // namespace
}  // namespace residua::test
