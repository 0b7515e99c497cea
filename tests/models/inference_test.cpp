#include "models/inference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "core/autograd/no_grad.h"
#include "core/nn/initialization.h"
#include "core/nn/state_dict.h"
#include "models/resnet.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const SafetensorsMetadata kMetadata = {{"model", "resnet20"},
                                       {"shortcut", "B"},
                                       {"shortcut_pad", "end"},
                                       {"shortcut_pool", "stride"},
                                       {"input_size", "16"},
                                       {"mean", "[100.0,110.0,120.0]"},
                                       {"std", "[50.0,60.0,70.0]"},
                                       {"classes", "[\"cat\",\"dog\",\"T-shirt/top\"]"},
                                       {"bottleneck_stride", "conv3x3"}};

ResNetConfig small_config() {
  ResNetConfig config = configured(named_resnet("resnet20"), {.shortcut = Shortcut::b});
  config.classes = 3;
  return config;
}

/// Weights of an untrained network whose classes depend on the image; with `biased`, they depend on the bias alone.
enum class Weights { random, biased };
std::string make_weights(const TemporaryFolder& folder, const SafetensorsMetadata& metadata, Weights kind) {
  ResNet model(small_config());
  ParameterStore store(model);
  initialize(store, 11, FanMode::fan_in);
  if (kind == Weights::biased) {
    store.parameter("fc.weight").master.copy_from(std::vector<float>(3 * 64, 0.0f));
    store.parameter("fc.bias").master.copy_from(std::vector<float>{0, std::log(6.0f), std::log(3.0f)});
  }
  save_weights(folder / "w.safetensors", snapshot(store), metadata);
  return folder / "w.safetensors";
}

/// A picture of one color.
std::string make_image(const TemporaryFolder& folder, uint8_t red, uint8_t green, uint8_t blue) {
  std::string bytes = "P6\n30 20\n255\n";
  for (int i = 0; i < 30 * 20; ++i) {
    for (const uint8_t channel : {red, green, blue}) {
      bytes += static_cast<char>(channel);
    }
  }
  write_bytes(folder / "image.ppm", bytes);
  return folder / "image.ppm";
}

std::string refusal(const InferenceOptions& options) {
  try {
    Inference inference(options);
    return "";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
}

TEST(Inference, TheWeightsFileSaysItAll) {
  const TemporaryFolder folder;
  Inference inference({.weights = make_weights(folder, kMetadata, Weights::biased)});
  EXPECT_EQ(inference.network().description(), "resnet20, shortcut B, end, stride, conv3x3, 3 classes");
  const std::vector<Prediction> best = inference.classify(make_image(folder, 1, 2, 3), 5);
  ASSERT_EQ(best.size(), 3U);
  EXPECT_EQ(best[0].class_name, "dog");
  EXPECT_EQ(best[0].class_index, 1);
  EXPECT_NEAR(best[0].probability, 0.6, 1e-6);
  EXPECT_EQ(best[1].class_name, "T-shirt/top");
  EXPECT_NEAR(best[1].probability, 0.3, 1e-6);
  EXPECT_NEAR(best[2].probability, 0.1, 1e-6);
  EXPECT_EQ(inference.classify(folder / "image.ppm", 1).size(), 1U);
}

/// The probabilities are the softmax of what the network of these weights makes of `pixels`, [1, 16, 16, 3].
void expect_predictions(const std::vector<Prediction>& got, const std::string& weights, const Tensor& pixels) {
  ResNet model(small_config());
  ParameterStore store(model);
  load_weights(read_weights(weights), store, "fc.");
  const NoGrad no_grad;
  const std::vector<float> logits = model.forward(pixels, Mode::evaluate).to_vector();
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(static_cast<double>(logit));
  }
  ASSERT_EQ(got.size(), logits.size());
  for (const Prediction& prediction : got) {
    EXPECT_NEAR(prediction.probability,
                std::exp(static_cast<double>(logits[static_cast<size_t>(prediction.class_index)])) / sum, 1e-5);
  }
}

TEST(Inference, NormalizesByTheFilesStatistics) {
  const TemporaryFolder folder;
  const std::string weights = make_weights(folder, kMetadata, Weights::random);
  Inference inference({.weights = weights});
  const std::vector<Prediction> got = inference.classify(make_image(folder, 150, 50, 190), 3);
  std::vector<float> pixels;  // (150 - 100) / 50, (50 - 110) / 60, (190 - 120) / 70
  for (int i = 0; i < 16 * 16; ++i) {
    pixels.insert(pixels.end(), {1.0f, -1.0f, 1.0f});
  }
  expect_predictions(got, weights, from_values({1, 16, 16, 3}, pixels));
  const double other = inference.classify(make_image(folder, 0, 255, 0), 3)[0].probability;
  EXPECT_GT(std::abs(other - got[0].probability), 1e-4);
}

TEST(Inference, HasNoAnswerThatIsNotFinite) {
  const TemporaryFolder folder;
  ResNet model(small_config());
  ParameterStore store(model);
  initialize(store, 11, FanMode::fan_in);
  store.parameter("fc.bias").master.copy_from(std::vector<float>{0, std::nanf(""), 0});
  save_weights(folder / "w.safetensors", snapshot(store), kMetadata);
  EXPECT_TRUE(fails_with([&] { Inference({.weights = folder / "w.safetensors"}); }, {"w.safetensors", "fc.bias", "nan"}));
  // Finite weights can overflow too.
  store.parameter("fc.bias").master.copy_from(std::vector<float>{0, 0, 0});
  const Tensor& fc = store.parameter("fc.weight").master;
  fc.copy_from(std::vector<float>(static_cast<size_t>(fc.size()), 3e38f));
  save_weights(folder / "w.safetensors", snapshot(store), kMetadata);
  Inference inference({.weights = folder / "w.safetensors"});
  EXPECT_TRUE(fails_with([&] { inference.classify(make_image(folder, 1, 2, 3), 3); }, {"image.ppm", "not finite"}));
}

TEST(Inference, SubtractsTheFilesMeanImage) {
  const TemporaryFolder folder;
  std::string image = "P6\n16 16\n255\n";
  std::string mean = "[";
  std::vector<float> pixels;
  for (int i = 0; i < 16 * 16 * 3; ++i) {
    image += static_cast<char>(i % 251);
    mean += (i > 0 ? "," : "") + std::to_string(i % 89);
    pixels.push_back(static_cast<float>(i % 251 - i % 89) / std::array{50.0f, 60.0f, 70.0f}[static_cast<size_t>(i % 3)]);
  }
  write_bytes(folder / "image.ppm", image);
  SafetensorsMetadata metadata = kMetadata;
  metadata["mean"] = mean + "]";
  const std::string weights = make_weights(folder, metadata, Weights::random);
  expect_predictions(Inference({.weights = weights}).classify(folder / "image.ppm", 3), weights,
                     from_values({1, 16, 16, 3}, pixels));
  EXPECT_THAT(refusal({.weights = weights, .overrides = {.size = 24}}), HasSubstr("mean has 768 numbers"));
}

TEST(Inference, TurnsPhotosAsTheTrainingDid) {
  const TemporaryFolder folder;
  const std::string photo = encode_jpeg(photo_image(24, 40, 1));
  write_bytes(folder / "photo.jpg", with_orientation(photo, 6));
  const auto first = [&](const InferenceOptions& options) {
    return Inference(options).classify(folder / "photo.jpg", 1)[0].probability;
  };
  const double stored = first({.weights = make_weights(folder, kMetadata, Weights::random)});
  const double turned = first({.weights = folder / "w.safetensors", .overrides = {.turned_by_exif = true}});
  EXPECT_NE(turned, stored);
  SafetensorsMetadata metadata = kMetadata;
  metadata["exif"] = "true";
  EXPECT_EQ(first({.weights = make_weights(folder, metadata, Weights::random)}), turned);
  EXPECT_EQ(first({.weights = folder / "w.safetensors", .overrides = {.turned_by_exif = false}}), stored);
}

TEST(Inference, OptionsGoBeforeTheFile) {
  const TemporaryFolder folder;
  const Inference named(
      {.weights = make_weights(folder, kMetadata, Weights::biased), .overrides = {.class_names = {{"a", "b", "c"}}}});
  EXPECT_THAT(named.network().input.class_names, ElementsAre("a", "b", "c"));
  // A file of torchvision's has no metadata.
  const Inference bare({.weights = make_weights(folder, {}, Weights::biased),
                        .overrides = {.model = "resnet20", .options = {{"shortcut", {"B"}}}}});
  EXPECT_THAT(bare.network().input.class_names, ElementsAre("class 0", "class 1", "class 2"));
}

TEST(Inference, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  const auto with = [&](const std::string& key, const std::string& value) {
    SafetensorsMetadata metadata = kMetadata;
    metadata[key] = value;
    return refusal({.weights = make_weights(folder, metadata, Weights::biased)});
  };
  ASSERT_EQ(with("model", "resnet20"), "");
  EXPECT_THAT(refusal({.weights = folder / "missing.safetensors"}), HasSubstr("missing.safetensors"));
  EXPECT_THAT(refusal({.weights = make_weights(folder, {}, Weights::biased)}), HasSubstr("give the model"));
  EXPECT_THAT(refusal({.weights = make_weights(folder, kMetadata, Weights::biased), .overrides = {.model = "resnet32"}}),
              HasSubstr("it lacks"));
  EXPECT_THAT(refusal({.weights = make_weights(folder, kMetadata, Weights::biased), .overrides = {.model = "resnet2O"}}),
              HasSubstr("resnet2O"));
  EXPECT_THAT(
      refusal({.weights = make_weights(folder, kMetadata, Weights::biased), .overrides = {.options = {{"shortcut", {"A"}}}}}),
      HasSubstr("downsample"));
  EXPECT_THAT(
      refusal({.weights = make_weights(folder, kMetadata, Weights::biased), .overrides = {.class_names = {{"a", "b"}}}}),
      HasSubstr("has 3 classes, but 2 class names"));
  EXPECT_THAT(refusal({.weights = make_weights(folder, kMetadata, Weights::biased), .overrides = {.size = 0}}),
              HasSubstr("crop"));
  EXPECT_THAT(with("classes", "[1,2,3]"), HasSubstr("'classes'"));
  EXPECT_THAT(with("classes", "{"), HasSubstr("'classes'"));
  EXPECT_THAT(with("input_size", "many"), HasSubstr("'input_size'"));
  EXPECT_THAT(with("input_size", "1e30"), HasSubstr("'input_size'"));
  EXPECT_THAT(with("mean", "[1.0]"), HasSubstr("mean has 1 numbers"));
  EXPECT_THAT(with("mean", "[1.0,1e99,1.0]"), HasSubstr("must be finite"));
  EXPECT_THAT(with("std", "[1.0,0.0,1.0]"), HasSubstr("std above 0"));
  EXPECT_THAT(with("shortcut_pad", "middle"), HasSubstr("wanted end or both"));
}

TEST(Inference, NamesAnImageThatItCannotRead) {
  const TemporaryFolder folder;
  Inference inference({.weights = make_weights(folder, kMetadata, Weights::biased)});
  write_bytes(folder / "text.jpg", "this is no picture");
  for (const std::string& path : {folder / "text.jpg", folder / "missing.jpg"}) {
    try {
      inference.classify(path, 5);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path));
    }
  }
}

}  // namespace
}  // namespace residua::test
