#include "core/data/statistics.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/data/codecs/decode.h"

namespace residua {
namespace {

/// Calls body(image) for at most `max_images` images spread evenly over the source. Returns how many could be decoded.
template <class Body>
int64_t for_sample(const ImageSource& source, int64_t max_images, const Body& body) {
  if (max_images < 1) {
    fail_usage("statistics of a data set: got {} images, wanted at least 1", max_images);
  }
  const int64_t count = std::min(source.size(), max_images);
  int64_t decoded = 0;
  EncodedImage encoded;
  Image image;
  std::string last_error;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t index = i * source.size() / count;
    try {
      source.read(index, encoded);
      decode(encoded, source.name(index), whole, image);
    } catch (const Error& error) {
      last_error = error.what();
      continue;
    }
    body(image);
    ++decoded;
  }
  if (decoded == 0) {
    fail("none of {} images can be decoded; the last error: {}", count, last_error);
  }
  return decoded;
}

}  // namespace

ChannelStatistics compute_channel_statistics(const ImageSource& source, int64_t max_images) {
  // Integer sums are exact: 2^28 pixels of at most 255^2 stay below 2^45 per image.
  std::array<uint64_t, 3> sums{};
  std::array<uint64_t, 3> squares{};
  uint64_t pixels = 0;
  for_sample(source, max_images, [&](const Image& image) {
    for (size_t i = 0; i < image.pixels.size(); i += 3) {
      for (size_t c = 0; c < 3; ++c) {
        const uint64_t value = image.pixels[i + c];
        sums[c] += value;
        squares[c] += value * value;
      }
    }
    pixels += image.pixels.size() / 3;
  });
  ChannelStatistics statistics{};
  for (size_t c = 0; c < 3; ++c) {
    const double mean = static_cast<double>(sums[c]) / static_cast<double>(pixels);
    const double variance = static_cast<double>(squares[c]) / static_cast<double>(pixels) - mean * mean;
    statistics.mean[c] = static_cast<float>(mean);
    statistics.std[c] = static_cast<float>(std::sqrt(std::max(variance, 0.0)));
  }
  return statistics;
}

std::vector<float> compute_pixel_mean(const ImageSource& source, int64_t max_images) {
  const std::optional<ImageSize> size = source.fixed_size();
  if (!size) {
    fail_usage("a mean image needs images of one size; the sizes in the set of {} vary", source.name(0));
  }
  std::vector<uint64_t> sums(static_cast<size_t>(size->height * size->width * 3));
  const int64_t images = for_sample(source, max_images, [&](const Image& image) {
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i] += image.pixels[i];
    }
  });
  std::vector<float> mean(sums.size());
  std::transform(sums.begin(), sums.end(), mean.begin(),
                 [&](uint64_t sum) { return static_cast<float>(static_cast<double>(sum) / static_cast<double>(images)); });
  return mean;
}

}  // namespace residua
