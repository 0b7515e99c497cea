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

/// Labeled images. Thread-safe. A source returns images as stored; core/data/codecs/decode.h decodes them.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  /// Number of images; at least 1.
  virtual int64_t size() const = 0;
  /// One name per class, in label order.
  virtual const std::vector<std::string>& class_names() const = 0;
  /// 0 .. classes - 1.
  virtual int32_t label(int64_t i) const = 0;
  /// The name of image i in messages: its path, or its file and position.
  virtual std::string name(int64_t i) const = 0;
  /// The size of the images, if they all have the same.
  virtual std::optional<ImageSize> fixed_size() const = 0;
  /// Reads image i as stored. `out` is valid until the next read into it, and no longer than the source. Fails with Error,
  /// which names the image, if it cannot be read.
  virtual void read(int64_t i, EncodedImage& out) const = 0;
  /// The number of bytes of image i as stored, if the source can tell without reading it.
  virtual std::optional<uint64_t> stored_bytes(int64_t /*i*/) const { return {}; }
  /// Notes for the user, one line each, such as skipped files.
  virtual std::vector<std::string> notes() const { return {}; }

  /// Reads and decodes the whole image i.
  Image load(int64_t i) const;
};

enum class Split : uint8_t { train, val };

/// What the run wants, for sources that generate their images.
struct SourceContext {
  int64_t image_size = 32;  // side in pixels
  uint64_t seed = 0;
};

/// A kind of data set that a setting can name. To add one, write a file in core/data/sources that defines the source, its kind
/// and a `const Registration<SourceKind>` for it.
class SourceKind {
 public:
  virtual ~SourceKind() = default;
  /// Declares its own options.
  virtual void declare(Settings& /*settings*/) {}
  /// What the folder must contain, for messages.
  virtual std::string layout() const = 0;
  /// Whether the existing folder `folder` looks like this kind. Must not throw: other kinds are asked too.
  virtual bool detect(const std::filesystem::path& folder) const = 0;
  /// Opens one split. Fails with UsageError if files are missing, and with Error if they are damaged.
  virtual std::shared_ptr<const ImageSource> open(const std::filesystem::path& folder, Split split,
                                                  const SourceContext& context) const = 0;
};

/// Opens one split of a data set. `dataset` names a kind, or is "auto" for the kind that the folder looks like; `kinds` holds
/// the options. Fails with UsageError if the folder fits no kind (the message says what it holds and what is accepted), or if
/// there are fewer than two classes.
std::shared_ptr<const ImageSource> open_source(const Kinds<SourceKind>& kinds, std::string_view dataset,
                                               const std::filesystem::path& folder, Split split,
                                               const SourceContext& context = {});
/// The same with all options at their defaults.
std::shared_ptr<const ImageSource> open_source(std::string_view dataset, const std::filesystem::path& folder, Split split,
                                               const SourceContext& context = {});

/// "auto" and the names of all kinds, sorted.
std::vector<std::string> source_names();

/// The kind that "auto" detects for a folder.
std::string detect_source(const std::filesystem::path& folder);

/// Describes a folder for messages: "holds a, b, c and 7 more", "does not exist" or "is empty".
std::string describe_folder(const std::filesystem::path& folder);

}  // namespace residua
