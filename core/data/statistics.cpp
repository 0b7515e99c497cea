#include "core/data/statistics.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/warning.h"
#include "core/data/loader.h"
#include "core/data/rank_images.h"

namespace residua {
namespace {

/// Images of a batch, and batches of a rank between two exchanges with the others.
constexpr int64_t kBatch = 32, kBatchesOfRanks = 32;

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

  /// Adds the images of the other ranks.
  void add_ranks(Communicator& ranks) {
    std::vector<int64_t> all = image_;
    for (const auto& row : products_) {
      all.insert(all.end(), row.begin(), row.end());
    }
    all.push_back(images_);
    sum_values(ranks, all);
    images_ = all.back();
    const auto products = all.begin() + std::ssize(image_);
    for (size_t i = 0; i < 9; ++i) {
      products_[i / 3][i % 3] = products[static_cast<std::ptrdiff_t>(i)];
    }
    all.resize(image_.size());
    image_ = std::move(all);
  }

  int64_t images() const { return images_; }

  std::vector<float> mean_image(bool mirrored) const {
    std::vector<float> mean(image_.size());
    for (int64_t y = 0; y < size_; ++y) {
      for (int64_t x = 0; x < size_; ++x) {
        for (int64_t c = 0; c < 3; ++c) {
          const int64_t here = at(y, x, c);
          const int64_t sum = mirrored ? here + at(y, size_ - 1 - x, c) : 2 * here;
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
  void add_row(const uint8_t* pixels, int64_t* image) {
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

  int64_t at(int64_t y, int64_t x, int64_t c) const { return image_[static_cast<size_t>((y * size_ + x) * 3 + c)]; }
  double pixels() const { return static_cast<double>(images_) * static_cast<double>(size_ * size_); }

  double mean(size_t c) const {
    int64_t sum = 0;
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
  std::vector<int64_t> image_;                        // [size, size, 3]
  std::array<std::array<int64_t, 3>, 3> products_{};  // of two channels; the lower triangle is unused
};

/// Adds the images of the next batches. Returns their number, with those that cannot be read.
int64_t add_batches(Loader& loader, int64_t batches, Sums& sums) {
  int64_t done = 0;
  for (int64_t i = 0; i < batches; ++i) {
    const Batch* batch = loader.next();
    if (batch == nullptr) {
      break;
    }
    const std::span<const int32_t> labels = batch->labels.span<int32_t>();
    const int64_t bytes = batch->height * batch->width * 3;
    for (size_t row = 0; row < labels.size(); ++row) {
      if (labels[row] >= 0) {
        sums.add(batch->images.data<uint8_t>() + static_cast<int64_t>(row) * bytes);
      }
    }
    done += batch->size();
  }
  return done;
}

}  // namespace

ImageStatistics measure_images(const std::shared_ptr<const ImageSource>& source, int64_t size, const LoaderOptions& options,
                               const MeasureProgress& progress, Communicator* several) {
  OneProcess alone;
  Communicator& ranks = several != nullptr ? *several : alone;
  const std::shared_ptr<const ImageSource> own = images_of_rank(source, ranks);
  // The loader accepts all bad images: the limit is on those of all ranks, and all ranks fail together.
  const auto errors = std::make_shared<DataErrors>(source->size(), 1, source->size());
  const DataErrors limit(options.max_bad_images, options.max_bad_share, source->size());
  std::optional<Loader> loader;
  if (own != nullptr) {
    loader.emplace(own, LoaderOptions{.batch_size = kBatch,
                                      .crop_size = size,
                                      .view = make_view("center", size),
                                      .turns_by_exif = options.turns_by_exif,
                                      .max_pixels = options.max_pixels,
                                      .read_timeout = options.read_timeout,
                                      .workers = options.workers,
                                      .most_workers = options.most_workers,
                                      .max_bad_images = options.max_bad_images,
                                      .max_bad_share = options.max_bad_share,
                                      .errors = errors});
    loader->start(0);
  }
  Sums sums(size);
  int64_t own_done = 0;
  for (int64_t done = 0; done < source->size();) {
    own_done += loader ? add_batches(*loader, ranks.alone() ? 1 : kBatchesOfRanks, sums) : 0;
    std::array<int64_t, 2> all{own_done, errors->count()};
    sum_values(ranks, all);
    done = all[0];
    if (all[1] > 0) {
      const Unreadable unreadable = unreadable_of_all(ranks, errors.get());
      limit.check(unreadable.count, unreadable.summary);
    }
    if (progress) {
      progress(done, source->size());
    }
  }
  sums.add_ranks(ranks);
  const Unreadable unreadable = unreadable_of_all(ranks, errors.get());
  if (sums.images() == 0) {
    fail("none of the {} images to measure could be read:\n{}", source->size(), unreadable.summary);
  }
  if (unreadable.count > 0 && ranks.leads()) {
    warn("{} of the {} images to measure could not be read and do not count:\n{}", unreadable.count, source->size(),
         unreadable.summary);
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
