#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/data/image_fixtures.h"
#include "tests/data/views/reference_view.h"
#include "tests/parity/seen_views.h"
#include "tests/support/random.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

constexpr int64_t kCrop = 28;

/// A folder of JPEGs of many sizes.
void write_photos(const TemporaryFolder& folder) {
  Random sizes("sizes of photos");
  for (int i = 0; i < 24; ++i) {
    const std::string kind = fmt::format("{}/train/{}", folder.path(), i % 2 == 0 ? "even" : "odd");
    std::filesystem::create_directories(kind);
    const Image image = photo_image(sizes.integer(9, 160), sizes.integer(9, 160), static_cast<uint64_t>(i));
    write_bytes(fmt::format("{}/{:02}.jpg", kind, i), encode_jpeg(image));
  }
}

/// AlexNet's color shift of channel c, as a share of the range of a pixel.
double color_offset(const std::array<double, 3>& normals, size_t c) {
  constexpr double kEigenvalues[3] = {0.2175, 0.0188, 0.0045};
  constexpr double kEigenvectors[3][3] = {{-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}};
  double offset = 0;
  for (size_t k = 0; k < 3; ++k) {
    offset += kEigenvectors[c][k] * 0.1 * kEigenvalues[k] * normals[k];
  }
  return offset;
}

// From the file to the network's input, by the loader's threads: bytes within rounding of the definition, mirrored exactly,
// with colors shifted by AlexNet's formula.
TEST(Augmentation, NetworksSeeWhatTheDrawsSay) {
  const TemporaryFolder folder;
  write_photos(folder);
  const auto source = open_source("auto", folder.path(), Split::train);
  constexpr double kMean[3] = {123.675, 116.28, 103.53};
  constexpr double kStd[3] = {58.395, 57.12, 57.375};
  for (const std::string view : {"random-resized-crop", "scale-crop"}) {
    for (int64_t epoch = 0; epoch < 4; ++epoch) {
      const SeenViews seen = see_views(source, view, kCrop, run_seed(), epoch);
      const float* input = seen.input.data<float>();
      const uint8_t* loaded = seen.loaded.data<uint8_t>();
      for (int64_t i = 0; i < source->size(); ++i) {
        SCOPED_TRACE(fmt::format("{}, epoch {}, {}", view, epoch, source->name(i)));
        PlacedView placed = seen.placed[static_cast<size_t>(i)];
        std::ranges::fill(placed.view.color_shift, 0.0f);
        const std::vector<double> want = reference_view(source->load(i), placed, kCrop, 0);
        for (int64_t e = 0; e < kCrop * kCrop * 3; ++e, ++input) {
          const auto c = static_cast<size_t>(e % 3);
          const double byte = *input * kStd[c] + kMean[c] - 255 * color_offset(seen.normals[static_cast<size_t>(i)], c);
          ASSERT_NEAR(byte, std::round(byte), 255e-5) << "the shift in channel " << c;
          ASSERT_NEAR(std::round(byte), want[static_cast<size_t>(e)], 0.501) << "at " << e;
          const int64_t w = e / 3 % kCrop;
          const int64_t column = placed.view.flip != 0 ? kCrop - 1 - w : w;
          ASSERT_EQ(std::round(byte), loaded[((i * kCrop + e / 3 / kCrop) * kCrop + column) * 3 + e % 3]) << "at " << e;
        }
      }
    }
  }
}

}  // namespace
}  // namespace residua::test
