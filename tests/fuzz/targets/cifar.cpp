// A file of records of CIFAR-10 and of CIFAR-100.
#include <fmt/format.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/data/source.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

std::string make_folder(const char* list, int classes) {
  std::string names;
  for (int c = 0; c < classes; ++c) {
    names += fmt::format("class {}\n", c);
  }
  return std::filesystem::path(fuzz_file(list, names)).parent_path().string();
}

void read(const char* dataset, const std::string& folder, int32_t classes) {
  try {
    const auto source = open_source(dataset, folder, Split::val);
    for (int64_t i = 0; i < source->size(); ++i) {
      require(source->label(i) >= 0 && source->label(i) < classes, "a label is out of range");
      require(source->load(i).size() == ImageSize{32, 32}, "an image has another size");
    }
  } catch (const Error&) {
  }
}

void read_all(std::span<const uint8_t> bytes) {
  static const std::string ten = make_folder("cifar10/batches.meta.txt", 10);
  static const std::string hundred = make_folder("cifar100/fine_label_names.txt", 100);
  for (const char* file : {"cifar10/data_batch_1.bin", "cifar10/test_batch.bin", "cifar100/train.bin", "cifar100/test.bin"}) {
    fuzz_file(file, bytes);
  }
  read("cifar10", ten, 10);
  read("cifar100", hundred, 100);
}

const RegisterFuzzTarget kTarget("cifar", read_all);

}  // namespace
}  // namespace residua::test
