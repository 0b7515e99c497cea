#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/kinds.h"
#include "core/data/codecs/encoded_image.h"
#include "core/data/codecs/image.h"

namespace residua {

class Settings;

/// Labeled images, readable from many threads at once. A source hands out what it stores; core/data/codecs/decode.h makes
/// pixels of it.
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
  /// Image i as it is stored; `out` holds while the source does, until it is read into again. Fails with Error, naming the
  /// image, when it cannot be read.
  virtual void read(int64_t i, EncodedImage& out) const = 0;
  /// What a user should know of these images, one line each: such as files that were left out.
  virtual std::vector<std::string> notes() const { return {}; }

  /// The whole image i, decoded.
  Image load(int64_t i) const;
};

enum class Split : uint8_t { train, val };

/// What a run knows of its images. For sources that make their own; files decide for themselves.
struct SourceContext {
  int64_t image_size = 32;  // pixels a side
  uint64_t seed = 0;
};

/// A kind of dataset that a setting can name. To add one, write a file in core/data/sources that defines the source, its kind
/// and a `const Registration<SourceKind>` for it.
class SourceKind {
 public:
  virtual ~SourceKind() = default;
  /// Options of its own.
  virtual void declare(Settings& /*settings*/) {}
  /// What the folder has to hold, for messages.
  virtual std::string layout() const = 0;
  /// Whether `folder`, an existing folder, looks like this kind.
  virtual bool detect(const std::filesystem::path& folder) const = 0;
  /// Fails with UsageError when what is needed is missing, and with Error when it is damaged.
  virtual std::shared_ptr<const ImageSource> open(const std::filesystem::path& folder, Split split,
                                                  const SourceContext& context) const = 0;
};

/// Opens one split of a dataset. `dataset` is the name of a kind, whose options are those in `kinds`, or "auto": the one kind
/// that the folder looks like. Fails with UsageError that says what the folder holds and which layouts are accepted, and when
/// there are fewer than two classes to tell apart.
std::shared_ptr<const ImageSource> open_source(const Kinds<SourceKind>& kinds, std::string_view dataset,
                                               const std::filesystem::path& folder, Split split,
                                               const SourceContext& context = {});
/// The same with all options at their defaults.
std::shared_ptr<const ImageSource> open_source(std::string_view dataset, const std::filesystem::path& folder, Split split,
                                               const SourceContext& context = {});

/// "auto" and the names of all kinds, sorted.
std::vector<std::string> source_names();

/// The kind that a folder looks like, by the rules of "auto".
std::string detect_source(const std::filesystem::path& folder);

/// The first entries of a folder, for messages: "a, b, c and 7 more", or that it is missing or empty.
std::string describe_folder(const std::filesystem::path& folder);

}  // namespace residua
