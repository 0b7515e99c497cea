#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/base/kinds.h"
#include "core/base/random.h"
#include "core/data/codecs/image.h"
#include "core/data/codecs/resize.h"
#include "core/kernels/prepare_input.h"

namespace residua {

class Settings;

/// What the network is to see of one image. First, on a loader thread, `resize` makes a square source image; then, on the
/// device, the network's input is cut out of that by `view`.
struct PlacedView {
  Resize resize;
  SampleView view = {};
};

/// Chooses views of images: at random for training, always the same for evaluation. Safe to use from many threads.
class ViewPolicy {
 public:
  virtual ~ViewPolicy() = default;
  /// Views a sample: each becomes a row of the batch.
  virtual int64_t count() const { return 1; }
  /// View k of an image of `size`. The views of one sample are placed in turn, from one sequence of random numbers. The
  /// resize's window is square, as large as the network's input.
  virtual PlacedView place(ImageSize size, Random& random, int64_t k) const = 0;
};

/// A policy that a setting can name. To add one, write a file in core/data/views that defines the kind and a
/// `const Registration<ViewKind>` for it.
class ViewKind {
 public:
  virtual ~ViewKind() = default;
  /// Options of its own.
  virtual void declare(Settings& /*settings*/) {}
  /// For inputs of crop_size x crop_size, from 1 to kMaxCropSize pixels.
  virtual std::unique_ptr<const ViewPolicy> make(int64_t crop_size) const = 0;
};

/// A kind without options: its policies are made from the crop size alone.
template <class Policy>
class PlainViewKind final : public ViewKind {
 public:
  std::unique_ptr<const ViewPolicy> make(int64_t crop_size) const override { return std::make_unique<const Policy>(crop_size); }
};

inline constexpr int64_t kMaxCropSize = 4096;

/// The policy of that name, its options as they are set in `kinds`. Fails with UsageError on another name, called by the
/// setting `augment`, and on a crop size outside 1..kMaxCropSize.
std::unique_ptr<const ViewPolicy> make_view(const Kinds<ViewKind>& kinds, std::string_view name, int64_t crop_size);
/// The same with all options at their defaults.
std::unique_ptr<const ViewPolicy> make_view(std::string_view name, int64_t crop_size);

}  // namespace residua
