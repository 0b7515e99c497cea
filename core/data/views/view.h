#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "core/base/kinds.h"
#include "core/base/random.h"
#include "core/data/codecs/image.h"
#include "core/data/codecs/resize.h"
#include "core/data/principal_colors.h"
#include "core/kernels/prepare_input.h"

namespace residua {

class Settings;

/// How to make the network's input from an image: a loader thread applies `resize` to get the source image, then the device
/// applies `view` to it.
struct PlacedView {
  Resize resize;
  SampleView view = {};
};

/// Chooses views of images: random ones for training, fixed ones for evaluation. Thread-safe.
class ViewPolicy {
 public:
  virtual ~ViewPolicy() = default;
  /// Views per sample; each becomes a row of the batch.
  virtual int64_t count() const { return 1; }
  /// The most pixels of a view, if the size of a view follows its image's; 0 if each view is a square of the crop size.
  virtual int64_t most_pixels() const { return 0; }
  /// View k of an image of `size`. A sample's views are placed in order, from one random sequence. The resize's window is as
  /// large as the network's input; all views of an image have the same size.
  virtual PlacedView place(ImageSize size, Random& random, int64_t k) const = 0;
};

inline constexpr int64_t kMaxCropSize = 4096;

/// The network's input that views are made for.
struct ViewInput {
  int64_t crop_size = 0;                     // side in pixels, 1 to kMaxCropSize
  PrincipalColors colors = kImageNetColors;  // of the training set, if the kind asks for them
};

/// The size that the views of all images have. `images` is the images' size if they all have the same. Nothing if sizes of
/// views vary with those of images.
std::optional<ImageSize> size_of_views(const ViewPolicy& policy, int64_t crop_size, std::optional<ImageSize> images);

/// A kind of view policy that a setting can name. To add one, write a file in core/data/views that defines the kind and a
/// `const Registration<ViewKind>` for it.
class ViewKind {
 public:
  virtual ~ViewKind() = default;
  /// Declares its own options.
  virtual void declare(Settings& /*settings*/) {}
  /// Whether make() needs the colors of the training set. They cost a pass over its images.
  virtual bool measures_colors() const { return false; }
  virtual std::unique_ptr<const ViewPolicy> make(const ViewInput& input) const = 0;
};

/// A kind without options, whose policies depend only on the crop size.
template <class Policy>
class PlainViewKind final : public ViewKind {
 public:
  std::unique_ptr<const ViewPolicy> make(const ViewInput& input) const override {
    return std::make_unique<const Policy>(input.crop_size);
  }
};

/// Makes the policy `name` with the options in `kinds`. Fails with UsageError, for the setting `augment`, on an unknown name,
/// and on a crop size outside 1..kMaxCropSize.
std::unique_ptr<const ViewPolicy> make_view(const Kinds<ViewKind>& kinds, std::string_view name, const ViewInput& input);
/// The same with all options at their defaults.
std::unique_ptr<const ViewPolicy> make_view(std::string_view name, int64_t crop_size);

}  // namespace residua
