/// CIFAR-10 and CIFAR-100 in their official binary layout (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html): each
/// record is the label bytes followed by the red, green and blue planes of a 32 x 32 image.
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/join.h"
#include "core/data/source.h"
#include "core/data/sources/memory_source.h"
#include "core/io/read_file.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPlane = size_t{32} * 32;

struct Layout {
  std::string_view archive_folder;
  std::vector<std::string> train_files;
  std::string val_file;
  std::string class_names_file;
  size_t classes;
  size_t label_bytes;  // the last one is the label
};

const Layout& cifar10() {
  static const Layout layout{
      "cifar-10-batches-bin",
      {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
      "test_batch.bin",
      "batches.meta.txt",
      10,
      1};
  return layout;
}

const Layout& cifar100() {
  static const Layout layout{"cifar-100-binary", {"train.bin"}, "test.bin", "fine_label_names.txt", 100, 2};
  return layout;
}

/// The folder itself, or the folder of the official archive inside it; empty if neither has the test file.
fs::path locate(const Layout& layout, const fs::path& folder) {
  for (const fs::path& candidate : {folder, folder / layout.archive_folder}) {
    if (fs::is_regular_file(candidate / layout.val_file) && fs::is_regular_file(candidate / layout.train_files.front())) {
      return candidate;
    }
  }
  return {};
}

/// `bytes` is memory for the file.
void append_records(const fs::path& path, const Layout& layout, std::vector<uint8_t>& bytes, MemorySource::Contents& contents) {
  const size_t record = layout.label_bytes + 3 * kPlane;
  read_file(path, bytes);
  if (bytes.empty() || bytes.size() % record != 0) {
    fail("{}: {} bytes; wanted a whole number of records of {} bytes (the official files have 10,000 or 50,000)", path.string(),
         bytes.size(), record);
  }
  const size_t records = bytes.size() / record;
  const size_t before = contents.pixels.size();
  contents.pixels.resize(before + records * 3 * kPlane);
  uint8_t* to = contents.pixels.data() + before;
  for (const uint8_t* from = bytes.data(); from != bytes.data() + bytes.size(); from += record) {
    contents.labels.push_back(from[layout.label_bytes - 1]);
    const uint8_t* red = from + layout.label_bytes;
    for (size_t i = 0; i < kPlane; ++i, to += 3) {
      to[0] = red[i];
      to[1] = red[kPlane + i];
      to[2] = red[2 * kPlane + i];
    }
  }
}

std::shared_ptr<const ImageSource> open_layout(const Layout& layout, const fs::path& folder, Split split) {
  const fs::path root = locate(layout, folder);
  if (root.empty()) {
    fail_usage("data folder '{}' {}; wanted {} and {} in it or in its subfolder {}", folder.string(), describe_folder(folder),
               join(layout.train_files, ", "), layout.val_file, layout.archive_folder);
  }
  const std::vector<std::string> files = split == Split::train ? layout.train_files : std::vector{layout.val_file};
  for (const std::string& file : files) {
    if (!fs::is_regular_file(root / file)) {
      fail_usage("data folder '{}' has no {}; wanted {}", root.string(), file, join(files, ", "));
    }
  }
  MemorySource::Contents contents{
      (root / files.front()).string(), {32, 32}, {}, {}, read_lines(root / layout.class_names_file)};
  if (contents.class_names.size() != layout.classes) {
    fail("{}: {} class names; wanted {}", (root / layout.class_names_file).string(), contents.class_names.size(),
         layout.classes);
  }
  if (files.size() > 1) {
    contents.origin = (root / "data_batch").string();
  }
  std::vector<uint8_t> bytes;
  for (const std::string& file : files) {
    append_records(root / file, layout, bytes, contents);
    if (file == files.front()) {
      contents.pixels.reserve(files.size() * contents.pixels.size());  // the official files have the same size
    }
  }
  return std::make_shared<const MemorySource>(std::move(contents));
}

/// One of the two layouts.
template <const Layout& (*kLayout)()>
class Cifar final : public SourceKind {
 public:
  std::string layout() const override {
    const Layout& l = kLayout();
    const std::string train =
        l.train_files.size() > 1 ? l.train_files.front() + " to " + l.train_files.back() : l.train_files.front();
    return fmt::format("{}, {} and {}, or a subfolder {} with them", train, l.val_file, l.class_names_file, l.archive_folder);
  }
  bool detect(const fs::path& folder) const override { return !locate(kLayout(), folder).empty(); }
  std::shared_ptr<const ImageSource> open(const fs::path& folder, Split split,
                                          const SourceContext& /*context*/) const override {
    return open_layout(kLayout(), folder, split);
  }
};

const auto kCifar10 = registered<SourceKind, Cifar<cifar10>>("cifar10", "CIFAR-10 in its binary layout");
const auto kCifar100 = registered<SourceKind, Cifar<cifar100>>("cifar100", "CIFAR-100 in its binary layout");

}  // namespace
}  // namespace residua
