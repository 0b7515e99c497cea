// Lists of labels and of class names.
#include "core/data/sources/label_list.h"
#include "core/base/error.h"
#include "core/data/class_names.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

void read_all(std::span<const uint8_t> bytes) {
  const std::string path = fuzz_file("val.txt", bytes);
  for (const std::vector<std::string>& names : {std::vector<std::string>{}, {"cat", "dog"}}) {
    try {
      const LabelList list = read_label_list(path, names);
      require(list.files.size() == list.labels.size(), "not each image has a label");
      for (const int32_t label : list.labels) {
        require(label >= 0 && static_cast<size_t>(label) < list.class_names.size(), "a label is out of range");
      }
    } catch (const Error&) {
    }
  }
  read_class_names(path);
}

const RegisterFuzzTarget kTarget("label_list", read_all);

}  // namespace
}  // namespace residua::test
