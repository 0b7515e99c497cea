// Fashion-MNIST's IDX files, compressed or not: two bytes with the length of the file of labels, that file, the file of images.
#include <algorithm>
#include <filesystem>

#include "core/data/source.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

void read_all(std::span<const uint8_t> bytes) {
  if (bytes.size() < 2) {
    return;
  }
  const size_t labels = std::min<size_t>(size_t{bytes[0]} << 8 | bytes[1], bytes.size() - 2);
  static const std::string folder = std::filesystem::path(fuzz_file("idx/here", std::string())).parent_path().string();
  fuzz_file("idx/train-labels-idx1-ubyte", bytes.subspan(2, labels));
  fuzz_file("idx/train-images-idx3-ubyte", bytes.subspan(2 + labels));
  const auto source = open_source("fashion-mnist", folder, Split::train);
  for (int64_t i = 0; i < source->size(); ++i) {
    require(source->label(i) >= 0 && source->label(i) < 10, "a label is out of range");
    require(source->load(i).size() == ImageSize{32, 32}, "an image has another size");
  }
}

const RegisterFuzzTarget kTarget("idx", read_all);

}  // namespace
}  // namespace residua::test
