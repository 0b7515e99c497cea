// The protocols of the paper against their definition: each view cut by hand out of the whole resized image, evaluated alone,
// and the mean made in double.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/autograd/no_grad.h"
#include "core/data/codecs/resize.h"
#include "core/data/subset.h"
#include "core/data/views/whole_image.h"
#include "core/evaluate/image_results.h"
#include "core/evaluate/view_dump.h"
#include "tests/evaluate/trained.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

class PaperProtocols : public ::testing::TestWithParam<Device> {};

INSTANTIATE_TEST_SUITE_P(All, PaperProtocols, ::testing::ValuesIn(test_devices()),
                         [](const auto& info) { return info.param.type == Device::Type::cpu ? "cpu" : "cuda"; });

/// Images of noise whose sizes vary.
class ManySizes final : public ImageSource {
 public:
  explicit ManySizes(int64_t images) {
    std::mt19937_64 random(6);
    for (int64_t i = 0; i < images; ++i) {
      Image image;
      image.reset({static_cast<int64_t>(9 + random() % 30), static_cast<int64_t>(9 + random() % 30)});
      for (uint8_t& value : image.pixels) {
        value = static_cast<uint8_t>(random());
      }
      images_.push_back(std::move(image));
      labels_.push_back(static_cast<int32_t>(random() % kClasses));
    }
  }
  int64_t size() const override { return static_cast<int64_t>(images_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t i) const override { return labels_[static_cast<size_t>(i)]; }
  std::string name(int64_t i) const override { return fmt::format("noise {}", i); }
  std::optional<ImageSize> fixed_size() const override { return {}; }
  void read(int64_t i, EncodedImage& out) const override {
    const Image& image = images_[static_cast<size_t>(i)];
    out.set_rgb(image.pixels, image.size());
  }

 private:
  std::vector<Image> images_;
  std::vector<int32_t> labels_;
  std::vector<std::string> class_names_ = {"a", "b", "c", "d", "e", "f", "g"};
};

Image resized(const Image& image, int64_t shorter) {
  const ImageSize size = with_shorter_side(image.size(), shorter);
  Image result;
  result.reset(size);
  ResizeMemory memory;
  scale({.domain = whole(image.size()), .resized = size, .window = whole(size)}, image, result.pixels.data(), memory);
  return result;
}

Image cropped(const Image& image, int64_t top, int64_t left, int64_t side) {
  Image result;
  result.reset({side, side});
  for (int64_t y = 0; y < side; ++y) {
    std::copy_n(image.row(top + y) + left * 3, side * 3, result.row(y));
  }
  return result;
}

Image mirrored(const Image& image) {
  Image result;
  result.reset(image.size());
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      std::copy_n(image.row(y) + (image.width - 1 - x) * 3, 3, result.row(y) + x * 3);
    }
  }
  return result;
}

using Views = std::function<std::vector<Image>(const Image&)>;

std::vector<Image> ten_crops(const Image& image) {
  const Image all = resized(image, 13);  // 12 * 256 / 224 = 13.7
  const int64_t bottom = all.height - kSize;
  const int64_t right = all.width - kSize;
  const std::vector<std::pair<int64_t, int64_t>> corners = {
      {0, 0},
      {0, right},
      {bottom, 0},
      {bottom, right},
      {std::lrint(static_cast<double>(bottom) / 2), std::lrint(static_cast<double>(right) / 2)}};
  std::vector<Image> views;
  for (const auto& [top, left] : corners) {
    views.push_back(cropped(all, top, left, kSize));
    views.push_back(mirrored(views.back()));
  }
  return views;
}

std::vector<Image> whole_images(const Image& image) {
  std::vector<Image> views;
  for (const int64_t shorter : {12, 13, 20, 25, 34}) {  // 12 * {224, 256, 384, 480, 640} / 224
    views.push_back(resized(image, shorter));
    views.push_back(mirrored(views.back()));
  }
  return views;
}

/// What the network sees of an image.
Tensor input_of(const Trained& net, const Image& image) {
  InputFormat format = net.format;
  format.height = image.height;
  format.width = image.width;
  const Tensor pixels = empty({1, image.height, image.width, 3}, DType::u8);
  std::ranges::copy(image.pixels, pixels.data<uint8_t>());
  const std::array<SampleView, 1> plain = {};
  return prepare_input(pixels.to(net.device), view_tensor(plain, net.device), format);
}

std::vector<ImageResult> by_hand(Trained& net, const ImageSource& source, const Views& views_of, Average average) {
  const NoGrad no_grad;
  std::vector<ImageResult> results;
  for (int64_t i = 0; i < source.size(); ++i) {
    const std::vector<Image> views = views_of(source.load(i));
    std::vector<double> mean(kClasses);
    for (const Image& view : views) {
      const std::vector<float> logits = net.model.forward(input_of(net, view), Mode::evaluate).to_vector();
      double sum = 0;
      for (const float logit : logits) {
        sum += std::exp(static_cast<double>(logit));
      }
      for (size_t c = 0; c < mean.size(); ++c) {
        const auto logit = static_cast<double>(logits[c]);
        mean[c] += (average == Average::logits ? logit : std::exp(logit) / sum) / static_cast<double>(views.size());
      }
    }
    std::vector<float> scores;
    for (const double value : mean) {
      scores.push_back(static_cast<float>(average == Average::logits ? value : std::log(value)));
    }
    results.push_back(image_result(i, source.label(i), scores));
  }
  return results;
}

void expect_same(const std::vector<ImageResult>& got, const std::vector<ImageResult>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_EQ(got[i].index, want[i].index);
    ASSERT_EQ(got[i].label, want[i].label);
    ASSERT_EQ(got[i].rank, want[i].rank);
    ASSERT_TRUE(std::isfinite(got[i].loss));
    ASSERT_NEAR(got[i].loss, want[i].loss, 1e-4);
    for (size_t k = 0; k < 5; ++k) {
      ASSERT_EQ(got[i].best[k].class_index, want[i].best[k].class_index);
      ASSERT_NEAR(got[i].best[k].probability, want[i].best[k].probability, 1e-5);
    }
  }
}

void expect_protocol(Trained& net, const std::shared_ptr<const ImageSource>& source, const std::string& protocol,
                     const Views& views) {
  std::vector<double> losses;
  for (const Average average : {Average::softmax, Average::logits}) {
    const std::vector<ImageResult> want = by_hand(net, *source, views, average);
    losses.push_back(want.front().loss);
    for (const int64_t batch : {1, 30, 1000}) {
      for (const int64_t workers : {0, 2}) {
        SCOPED_TRACE(fmt::format("{} of {}, batch {}, {} workers", to_text(average), protocol, batch, workers));
        ImageResults results;
        std::array<EvaluationObserver*, 1> observers = {&results};
        const LoaderOptions options{.batch_size = batch, .pad_last = workers == 0, .workers = workers};
        const Metrics metrics = net.evaluate(source, options, protocol, average, observers);
        expect_same(results.all(), want);
        EXPECT_EQ(metrics.images, source->size());
        const auto wrong = std::ranges::count_if(results.all(), &ImageResult::top1_error);
        const auto far = std::ranges::count_if(results.all(), &ImageResult::top5_error);
        EXPECT_NEAR(metrics.top1_error, 100.0 * static_cast<double>(wrong) / static_cast<double>(source->size()), 1e-9);
        EXPECT_NEAR(metrics.top5_error, 100.0 * static_cast<double>(far) / static_cast<double>(source->size()), 1e-9);
      }
    }
  }
  EXPECT_NE(losses[0], losses[1]) << "the averages differ";
}

TEST_P(PaperProtocols, TenCropIsTheMeanOfTenViews) {
  Trained net(GetParam());
  expect_protocol(net, std::make_shared<const ManySizes>(13), "ten-crop", ten_crops);
  expect_protocol(net, random_images(), "ten-crop", ten_crops);
}

TEST_P(PaperProtocols, MultiScaleIsTheMeanOfFiveSizesOfTheWholeImage) {
  Trained net(GetParam());
  expect_protocol(net, std::make_shared<const ManySizes>(13), "multi-scale", whole_images);
  expect_protocol(net, random_images(), "multi-scale", whole_images);
}

TEST_P(PaperProtocols, EachImageCountsOnceWhateverBatchAndWorkers) {
  Trained net(GetParam());
  for (const char* protocol : {"center", "ten-crop", "multi-scale"}) {
    for (const int64_t images : {50, 51, 53}) {
      const auto source = std::make_shared<const ManySizes>(images);
      std::vector<std::pair<int64_t, int64_t>> want;  // index and rank
      for (const int64_t batch : {8, 16, 64}) {
        for (const int64_t workers : {0, 1, 2}) {
          ImageResults results;
          std::array<EvaluationObserver*, 1> observers = {&results};
          const LoaderOptions options{.batch_size = batch, .workers = workers};
          EXPECT_EQ(net.evaluate(source, options, protocol, Average::softmax, observers).images, images);
          std::vector<std::pair<int64_t, int64_t>> got;
          for (const ImageResult& result : results.all()) {
            got.emplace_back(result.index, result.rank);
          }
          want = want.empty() ? got : want;
          EXPECT_EQ(got, want) << fmt::format("{} images, {}, batch {}, {} workers", images, protocol, batch, workers);
        }
      }
      ASSERT_EQ(want.size(), static_cast<size_t>(images));
      EXPECT_EQ(want.back().first, images - 1);
    }
  }
}

TEST_P(PaperProtocols, LeaveOutWhatCannotBeRead) {
  Trained net(GetParam());
  const auto source = std::make_shared<const ManySizes>(7);
  const auto rest = std::make_shared<const Subset>(source, std::vector<int64_t>{0, 1, 2, 4, 5, 6});
  for (const char* protocol : {"ten-crop", "multi-scale"}) {
    const Metrics want = net.evaluate(rest, {.batch_size = 40}, protocol);
    const Metrics got = net.evaluate(std::make_shared<const OneMissing>(source, 3), {.batch_size = 40}, protocol);
    EXPECT_EQ(got.images, 6);
    ASSERT_TRUE(std::isfinite(got.loss));
    EXPECT_NEAR(got.loss, want.loss, 1e-5 * want.loss);
    EXPECT_EQ(got.top1_error, want.top1_error);
  }
}

TEST_P(PaperProtocols, TheDumpHoldsWhatTheNetworkSaw) {
  for (const DType precision : {DType::f32, DType::bf16}) {
    Trained net(GetParam(), precision);
    const auto source = std::make_shared<const ManySizes>(5);
    for (const char* protocol : {"ten-crop", "multi-scale"}) {
      SCOPED_TRACE(protocol);
      ViewDump dump(3);
      std::array<EvaluationObserver*, 1> observers = {&dump};
      net.evaluate(std::make_shared<const OneMissing>(source, 1), {.batch_size = 25, .pad_last = true}, protocol,
                   Average::softmax, observers);
      const TemporaryFolder folder;
      dump.write(folder / "views.safetensors", {{"protocol", protocol}});
      const Safetensors file = load_safetensors(folder / "views.safetensors");
      EXPECT_EQ(file.metadata.at("protocol"), protocol);
      const auto indices = file.find("indices")->span<int64_t>();
      ASSERT_EQ(std::vector<int64_t>(indices.begin(), indices.end()), (std::vector<int64_t>{0, 2, 3, 4}));
      const bool crops = std::string(protocol) == "ten-crop";
      for (size_t i = 0; i < indices.size(); ++i) {
        EXPECT_EQ(file.find("labels")->span<int32_t>()[i], source->label(indices[i]));
        const std::vector<Image> views = (crops ? ten_crops : whole_images)(source->load(indices[i]));
        for (size_t v = 0; v < views.size(); ++v) {
          const auto* array = file.find(fmt::format("views.{}.{}", i, crops ? 0 : v / 2));
          ASSERT_NE(array, nullptr);
          ASSERT_EQ(array->shape, (std::vector<int64_t>{crops ? 10 : 2, views[v].height, views[v].width, 3}));
          const std::vector<float> seen = input_of(net, views[v]).to_vector();
          const size_t stored = seen.size() / static_cast<size_t>(views[v].height * views[v].width);
          const size_t values = views[v].pixels.size();
          const auto own = array->span<float>().subspan((crops ? v : v % 2) * values, values);
          for (size_t k = 0; k < values; ++k) {
            ASSERT_EQ(own[k], seen[k / 3 * stored + k % 3]) << v;
          }
        }
      }
    }
  }
}

TEST(ViewDump, HasALimit) {
  ViewDump dump(3, 4000);
  const std::vector<int64_t> samples = {0, 1};
  dump.saw(samples, 0, zeros({4, 9, 9, 3}, DType::f32));  // 3,888 bytes
  EXPECT_TRUE(fails_with(
      [&] {
        dump.saw(samples, 1, zeros({2, 9, 9, 3}, DType::f32));
      },
      {"first 2 images take", "evaluate fewer images"}));
}

TEST(EvaluationLoader, OfWholeImagesHasABatchForEachImage) {
  const auto source = std::make_shared<const ManySizes>(3);
  const Kinds<Protocol> protocols;
  EvaluationLoader loader(source, protocols.at("protocol", "multi-scale"), kSize, {.batch_size = 64, .workers = 2});
  EXPECT_TRUE(loader.sizes_vary());
  loader.start();
  int64_t images = 0;
  for (auto batches = loader.next(); !batches.empty(); batches = loader.next(), ++images) {
    ASSERT_EQ(batches.size(), 5U);
    ASSERT_EQ(batches[4]->samples.size(), 1U);
    const ImageSize size = with_shorter_side(source->load(images).size(), 34);
    EXPECT_EQ(batches[4]->height, size.height);
    EXPECT_EQ(batches[4]->width, size.width);
    EXPECT_EQ(batches[4]->images.shape(), Shape({2, size.height, size.width, 3}));
  }
  EXPECT_EQ(images, 3);
  EXPECT_TRUE(fails_with([&] { Loader(source, {.batch_size = 2, .crop_size = 12, .view = make_whole_image(12)}); },
                         {"batches of 2 samples, wanted 1"}));
  for (const int64_t workers : {int64_t{10}, kAutoWorkers}) {
    const LoaderOptions options{.batch_size = 64, .workers = workers, .most_workers = 10};
    EXPECT_EQ(EvaluationLoader(source, protocols.at("protocol", "multi-scale"), kSize, options).most_workers(), 10)
        << "the passes share them";
  }
  EXPECT_FALSE(
      EvaluationLoader(random_images(), protocols.at("protocol", "multi-scale"), kSize, {.batch_size = 64}).sizes_vary());
}

}  // namespace
}  // namespace residua::test
