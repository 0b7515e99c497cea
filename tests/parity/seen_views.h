#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/data/loader.h"
#include "core/data/statistics.h"
#include "core/ops/prepare_input.h"

namespace residua::test {

/// An epoch's views of all images of a source, one an image and in the source's order, and the draws that they come from.
struct SeenViews {
  Tensor loaded;                        // u8 [images, crop, crop, 3], from the loader
  Tensor input;                         // f32 [images, crop, crop, 3], the network's, by ImageNet's mean and deviation
  std::vector<PlacedView> placed = {};  // of each image
  std::vector<std::array<double, 3>> normals = {};  // of each image's color shift, standard normal; 0 if the view has none
};

/// The normal numbers that scale-crop draws after the shorter side, the window's top and left, and the flip.
inline std::array<double, 3> color_normals(residua::Random random, const PlacedView& placed, int64_t crop) {
  random.below(crop * 480 / 224 - crop * 256 / 224 + 1);
  random.below(placed.resize.resized.height - crop + 1);
  random.below(placed.resize.resized.width - crop + 1);
  random.coin();
  return {random.normal(), random.normal(), random.normal()};
}

/// Views an epoch through the loader, with two threads, and prepare_input. Fails with Error if an image cannot be read, or if
/// the loader's views are not those that the policy draws.
inline SeenViews see_views(const std::shared_ptr<const ImageSource>& source, const std::string& name, int64_t crop,
                           uint64_t seed, int64_t epoch) {
  const std::shared_ptr<const ViewPolicy> policy = make_view(name, crop);
  Loader loader(source, {.batch_size = source->size(), .crop_size = crop, .view = policy, .seed = seed, .workers = 2});
  loader.start(epoch);
  const Batch& batch = *loader.next();
  if (loader.errors().count() > 0) {
    fail("{}", loader.errors().summary());
  }
  const auto& [mean, std] = kImageNetStatistics;
  const std::array inverse{1 / std[0], 1 / std[1], 1 / std[2]};
  const InputFormat format{.height = crop,
                           .width = crop,
                           .channels = 3,
                           .mean = from_values({3}, mean, DType::f32),
                           .inverse_std = from_values({3}, inverse, DType::f32)};
  SeenViews seen{.loaded = empty(batch.images.shape(), DType::u8), .input = prepare_input(batch.images, batch.views, format)};
  std::ranges::copy(batch.images.span<uint8_t>(), seen.loaded.data<uint8_t>());
  for (int64_t i = 0; i < source->size(); ++i) {
    residua::Random random(seed, RandomPurpose::augmentation, static_cast<uint64_t>(epoch), static_cast<uint64_t>(i));
    const residua::Random start = random;
    const PlacedView placed = policy->place(source->load(i).size(), random, 0);
    const SampleView& used = views_in(batch.views)[static_cast<size_t>(i)];
    if (used.top != placed.view.top || used.left != placed.view.left || used.flip != placed.view.flip ||
        !std::ranges::equal(used.color_shift, placed.view.color_shift)) {
      fail("{}: the loader's view is not the one that {} draws", source->name(i), name);
    }
    seen.placed.push_back(placed);
    seen.normals.push_back(name == "scale-crop" ? color_normals(start, placed, crop) : std::array<double, 3>{});
  }
  return seen;
}

}  // namespace residua::test
