/// Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) in IDX files, compressed or not. The 28 x 28 grayscale images are padded with 2
/// black pixels on each side and copied to three channels, so that networks for 32 x 32 RGB images can use them.
#include <zlib.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/data/source.h"
#include "core/data/sources/memory_source.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDefaultFolder = "/usr/share/datasets/fashion-mnist";
constexpr int64_t kSide = 28;
constexpr int64_t kBorder = 2;
constexpr int64_t kPaddedSide = kSide + 2 * kBorder;
constexpr uint32_t kMaxImages = 1'000'000;

std::string prefix(Split split) { return split == Split::train ? "train" : "t10k"; }

/// FOLDER/<name> or FOLDER/<name>.gz; empty if neither is there.
fs::path find_file(const fs::path& folder, const std::string& name) {
  for (const char* ending : {".gz", ""}) {
    if (fs::is_regular_file(folder / (name + ending))) {
      return folder / (name + ending);
    }
  }
  return {};
}

/// An IDX file, read through zlib, which also reads uncompressed files.
class IdxFile {
 public:
  explicit IdxFile(const fs::path& path) : name_(path.string()), file_(gzopen(name_.c_str(), "rb")) {
    if (file_ == nullptr) {
      fail("{}: cannot open the file", name_);
    }
  }
  IdxFile(const IdxFile&) = delete;
  IdxFile& operator=(const IdxFile&) = delete;
  ~IdxFile() { gzclose(file_); }

  const std::string& name() const { return name_; }

  void read(void* to, size_t bytes, const char* what) {
    const int got = gzread(file_, to, static_cast<unsigned>(bytes));
    if (got < 0) {
      int code = 0;
      fail("{}: damaged or truncated in the {}: {}", name_, what, gzerror(file_, &code));
    }
    if (static_cast<size_t>(got) != bytes) {
      fail("{}: ends early: got {} bytes of {}, wanted {}", name_, got, what, bytes);
    }
  }
  uint32_t read_u32() {
    uint8_t b[4];
    read(b, sizeof b, "header");
    return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
  }
  void expect(uint32_t wanted, const char* what) {
    const uint32_t got = read_u32();
    if (got != wanted) {
      fail("{}: {} is {:#x}, wanted {:#x}", name_, what, got, wanted);
    }
  }
  /// Reading the end makes zlib verify the checksum and length of a compressed stream.
  void expect_end() {
    uint8_t byte = 0;
    const int got = gzread(file_, &byte, 1);
    int code = Z_OK;
    const char* message = gzerror(file_, &code);
    if (got > 0) {
      fail("{}: has more data than its header says", name_);
    }
    if (code != Z_OK) {
      fail("{}: damaged or truncated at the end: {}", name_, message);
    }
  }

 private:
  std::string name_;
  gzFile file_;
};

std::vector<int32_t> read_labels(const fs::path& path) {
  IdxFile file(path);
  file.expect(0x801, "the magic number (unsigned bytes, 1 dimension)");
  const uint32_t count = file.read_u32();
  if (count > kMaxImages) {
    fail("{}: the header says {} labels; wanted at most {}", file.name(), count, kMaxImages);
  }
  std::vector<uint8_t> bytes(count);
  file.read(bytes.data(), bytes.size(), "labels");
  file.expect_end();
  return {bytes.begin(), bytes.end()};
}

std::vector<uint8_t> read_images(const fs::path& path, size_t labels) {
  IdxFile file(path);
  file.expect(0x803, "the magic number (unsigned bytes, 3 dimensions)");
  const uint32_t count = file.read_u32();
  if (count != labels) {
    fail("{}: the header says {} images, but there are {} labels", file.name(), count, labels);
  }
  file.expect(kSide, "the number of rows");
  file.expect(kSide, "the number of columns");
  std::vector<uint8_t> padded;  // grows with what has been read: the header may promise more than there is
  std::vector<uint8_t> image(static_cast<size_t>(kSide * kSide));
  for (uint32_t i = 0; i < count; ++i) {
    file.read(image.data(), image.size(), "pixels");
    padded.resize(padded.size() + static_cast<size_t>(kPaddedSide * kPaddedSide * 3));
    uint8_t* to = padded.data() + padded.size() - kPaddedSide * kPaddedSide * 3;
    for (int64_t y = 0; y < kSide; ++y) {
      for (int64_t x = 0; x < kSide; ++x) {
        std::memset(to + ((y + kBorder) * kPaddedSide + x + kBorder) * 3, image[static_cast<size_t>(y * kSide + x)], 3);
      }
    }
  }
  file.expect_end();
  return padded;
}

class FashionMnist final : public SourceKind {
 public:
  std::string layout() const override { return "{train,t10k}-images-idx3-ubyte.gz and {train,t10k}-labels-idx1-ubyte.gz"; }

  bool detect(const fs::path& folder) const override {
    return !find_file(folder, prefix(Split::train) + "-images-idx3-ubyte").empty() ||
           !find_file(folder, prefix(Split::val) + "-images-idx3-ubyte").empty();
  }

  std::shared_ptr<const ImageSource> open(const fs::path& given, Split split, const SourceContext& /*context*/) const override {
    const fs::path folder = given.empty() ? fs::path(kDefaultFolder) : given;
    const std::string images_name = prefix(split) + "-images-idx3-ubyte";
    const std::string labels_name = prefix(split) + "-labels-idx1-ubyte";
    const fs::path images = find_file(folder, images_name);
    const fs::path labels = find_file(folder, labels_name);
    if (images.empty() || labels.empty()) {
      fail_usage("data folder '{}' {}; wanted {}.gz and {}.gz (Debian's package dataset-fashion-mnist installs them in {})",
                 folder.string(), describe_folder(folder), images_name, labels_name, kDefaultFolder);
    }
    MemorySource::Contents contents;
    contents.origin = images.string();
    contents.size = {kPaddedSide, kPaddedSide};
    contents.labels = read_labels(labels);
    contents.pixels = read_images(images, contents.labels.size());
    contents.class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                            "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
    return std::make_shared<const MemorySource>(std::move(contents));
  }
};

const auto kFashionMnist = registered<SourceKind, FashionMnist>(
    "fashion-mnist", "Fashion-MNIST in IDX files; without a folder, from Debian's package");

}  // namespace
}  // namespace residua
