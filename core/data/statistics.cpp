#include "core/data/statistics.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/data/loader.h"

namespace residua {
namespace {

/// The sums over the pixels of images of one size. Integers are exact: 2^24 pixels of at most 255^2 a view stay below 2^40.
class Sums {
 public:
  explicit Sums(int64_t size) : size_(size), image_(static_cast<size_t>(size * size * 3)) {}

  /// Adds an image [size, size, 3].
  void add(const uint8_t* pixels) {
    ++images_;
    for (int64_t y = 0; y < size_; ++y) {
      add_row(pixels + y * size_ * 3, image_.data() + y * size_ * 3);
    }
  }

  int64_t images() const { return images_; }

  std::vector<float> mean_image(bool mirrored) const {
    std::vector<float> mean(image_.size());
    for (int64_t y = 0; y < size_; ++y) {
      for (int64_t x = 0; x < size_; ++x) {
        for (int64_t c = 0; c < 3; ++c) {
          const uint64_t here = at(y, x, c);
          const uint64_t sum = mirrored ? here + at(y, size_ - 1 - x, c) : 2 * here;
          mean[static_cast<size_t>((y * size_ + x) * 3 + c)] =
              static_cast<float>(static_cast<double>(sum) / (2 * static_cast<double>(images_)));
        }
      }
    }
    return mean;
  }

  ChannelStatistics channels() const {
    ChannelStatistics statistics{};
    for (size_t c = 0; c < 3; ++c) {
      statistics.mean[c] = static_cast<float>(mean(c));
      statistics.std[c] = static_cast<float>(std::sqrt(std::max(covariance(c, c), 0.0)));
    }
    return statistics;
  }

  PrincipalColors colors() const {
    std::array<std::array<double, 3>, 3> matrix{};
    for (size_t a = 0; a < 3; ++a) {
      for (size_t b = 0; b < 3; ++b) {
        matrix[a][b] = covariance(a, b) / (255.0 * 255.0);
      }
    }
    return principal_colors(matrix);
  }

 private:
  void add_row(const uint8_t* pixels, uint64_t* image) {
    for (int64_t i = 0; i < size_ * 3; ++i) {
      image[i] += pixels[i];
    }
    std::array<std::array<uint32_t, 3>, 3> row{};  // a row has at most 2^12 pixels
    for (int64_t x = 0; x < size_; ++x) {
      const uint32_t r = pixels[x * 3], g = pixels[x * 3 + 1], b = pixels[x * 3 + 2];
      row[0][0] += r * r;
      row[0][1] += r * g;
      row[0][2] += r * b;
      row[1][1] += g * g;
      row[1][2] += g * b;
      row[2][2] += b * b;
    }
    for (size_t a = 0; a < 3; ++a) {
      for (size_t b = a; b < 3; ++b) {
        products_[a][b] += row[a][b];
      }
    }
  }

  uint64_t at(int64_t y, int64_t x, int64_t c) const { return image_[static_cast<size_t>((y * size_ + x) * 3 + c)]; }
  double pixels() const { return static_cast<double>(images_) * static_cast<double>(size_ * size_); }

  double mean(size_t c) const {
    uint64_t sum = 0;
    for (size_t i = c; i < image_.size(); i += 3) {
      sum += image_[i];
    }
    return static_cast<double>(sum) / pixels();
  }

  double covariance(size_t a, size_t b) const {
    return static_cast<double>(products_[std::min(a, b)][std::max(a, b)]) / pixels() - mean(a) * mean(b);
  }

  int64_t size_;
  int64_t images_ = 0;
  std::vector<uint64_t> image_;                        // [size, size, 3]
  std::array<std::array<uint64_t, 3>, 3> products_{};  // of two channels; the lower triangle is unused
};

}  // namespace

ImageStatistics measure_images(const std::shared_ptr<const ImageSource>& source, int64_t size, const LoaderOptions& options,
                               const MeasureProgress& progress) {
  constexpr int64_t kBatch = 32;
  Loader loader(source, {.batch_size = kBatch,
                         .crop_size = size,
                         .view = make_view("center", size),
                         .turns_by_exif = options.turns_by_exif,
                         .max_pixels = options.max_pixels,
                         .read_timeout = options.read_timeout,
                         .workers = options.workers,
                         .most_workers = options.most_workers,
                         .max_bad_images = options.max_bad_images,
                         .max_bad_share = options.max_bad_share});

  Sums sums(size);
  int64_t done = 0;
  loader.start(0);
  while (const Batch* batch = loader.next()) {
    const std::span<const int32_t> labels = batch->labels.span<int32_t>();
    for (size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] >= 0) {
        sums.add(batch->images.data<uint8_t>() + static_cast<int64_t>(i) * size * size * 3);
      }
    }
    done += batch->size();
    if (progress) {
      progress(done, source->size());
    }
  }
  if (sums.images() == 0) {
    fail("none of the {} images to measure could be read:\n{}", source->size(), loader.errors().summary());
  }
  const std::optional<ImageSize> fixed = source->fixed_size();
  const bool views_are_whole = fixed && *fixed == ImageSize{size, size};
  return {.images = sums.images(),
          .size = size,
          .mean_image = sums.mean_image(!views_are_whole),
          .channels = sums.channels(),
          .colors = sums.colors()};
}

std::array<float, 3> in_pixel_units(std::span<const double> channels) {
  std::array<float, 3> result{};
  std::ranges::transform(channels.first(3), result.begin(), [](double value) { return static_cast<float>(255 * value); });
  return result;
}

std::array<float, 3> channel_means(const std::vector<float>& mean_image) {
  std::array<double, 3> sums{};
  for (size_t i = 0; i < mean_image.size(); ++i) {
    sums[i % 3] += mean_image[i];
  }
  std::array<float, 3> means{};
  std::ranges::transform(sums, means.begin(),
                         [&](double sum) { return static_cast<float>(3 * sum / static_cast<double>(mean_image.size())); });
  return means;
}

}  // namespace residua
