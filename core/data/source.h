#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/codecs/decode.h"
#include "core/data/codecs/image.h"

namespace residua {

/// Labeled images, readable from many threads at once.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  /// Number of images; at least 1.
  virtual int64_t size() const = 0;
  /// One name a class, in the order of the labels.
  virtual const std::vector<std::string>& class_names() const = 0;
  /// 0 .. classes - 1.
  virtual int32_t label(int64_t i) const = 0;
  /// What to call image i in a message: its path, or its file and position.
  virtual std::string name(int64_t i) const = 0;
  /// The size of every image, if they all have the same.
  virtual std::optional<ImageSize> fixed_size() const = 0;
  /// Reads the region of image i that `choose` picks from its size, and little more. Fails with Error, naming the image, when
  /// it is damaged.
  virtual void load(int64_t i, const RegionChooser& choose, Image& out) const = 0;

  /// The whole image i.
  Image load(int64_t i) const;
};

enum class Split { train, val };

/// For sources that make their own images; files decide for themselves.
struct SourceOptions {
  int64_t image_size = 32;  // pixels a side
  int64_t classes = 10;
  int64_t images = 0;  // 0: the source's own default
  uint64_t seed = 0;
};

/// A kind of dataset that `--dataset` can name. To add one, write a file in core/data/sources that defines the source and, at
/// namespace scope, a `const SourceRegistration`; the library is linked whole, so the registration takes part in every
/// executable.
struct SourceKind {
  std::string_view name;    // "cifar10"
  std::string_view layout;  // what the folder has to hold, for messages
  /// Whether `folder`, an existing folder, looks like this kind.
  bool (*detect)(const std::filesystem::path& folder);
  /// Fails with UsageError when what is needed is missing, and with Error when it is damaged.
  std::shared_ptr<const ImageSource> (*open)(const std::filesystem::path& folder, Split split, const SourceOptions& options);
};

class SourceRegistration {
 public:
  explicit SourceRegistration(const SourceKind& kind);
};

/// Opens one split of a dataset. `dataset` is the name of a kind, or "auto": the one kind that the folder looks like. Fails
/// with UsageError that says what the folder holds and which layouts are accepted.
std::shared_ptr<const ImageSource> open_source(std::string_view dataset, const std::filesystem::path& folder, Split split,
                                               const SourceOptions& options = {});

/// "auto" and the names of all kinds, sorted.
std::vector<std::string> source_names();

/// The kind that a folder looks like, by the rules of "auto".
std::string detect_source(const std::filesystem::path& folder);

/// The first entries of a folder, for messages: "a, b, c and 7 more", or that it is missing or empty.
std::string describe_folder(const std::filesystem::path& folder);

}  // namespace residua
