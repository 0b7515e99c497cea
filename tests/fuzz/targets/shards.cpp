// A shard without an index: the index is made, and each image is read.
#include <filesystem>

#include "core/base/error.h"
#include "core/data/source.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

void read_all(std::span<const uint8_t> bytes) {
  static const std::string folder = std::filesystem::path(fuzz_file("classes.txt", std::string("a\nb\n"))).parent_path();
  fuzz_file("train-000000.tar", bytes);
  std::filesystem::remove(fuzz_file("train-index.jsonl"));
  const auto source = open_source("webdataset", folder, Split::train);
  EncodedImage image;
  for (int64_t i = 0; i < source->size(); ++i) {
    source->read(i, image);
    require(source->label(i) >= 0 && source->label(i) < 2, "a label is out of range");
  }
}

const RegisterFuzzTarget kTarget("shards", read_all);

}  // namespace
}  // namespace residua::test
