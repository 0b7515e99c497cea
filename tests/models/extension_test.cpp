// A model family in a file of its own: nothing else knows it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/nn/conv_bn.h"
#include "core/nn/initialization.h"
#include "core/nn/state_dict.h"
#include "core/ops/pooling.h"
#include "models/inference.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// One convolution and a classifier.
class Tiny : public Module {
 public:
  Tiny(int64_t width, int64_t classes)
      : conv_({.in_channels = 3, .out_channels = width, .kernel = 3, .padding = 1}), bn_(width), head_(width, classes) {
    add_child("conv", conv_);
    add_child("bn", bn_);
    add_child("head", head_);
  }
  Tensor forward(const Tensor& x, Mode mode) override {
    return head_.forward(global_average_pool(norm_relu(conv_bn(conv_, bn_, x, mode))), mode);
  }
  Shape summarize(const std::string&, const Shape& input, std::vector<LayerSummary>& rows) const override {
    const Shape y = bn_.summarize("bn", conv_.summarize("conv", input, rows), rows);
    return head_.summarize("head", {y[0], y[3]}, rows);
  }

 private:
  Conv2d conv_;
  BatchNorm2d bn_;
  Linear head_;
};

class TinyFamily : public ModelFamily {
 public:
  std::vector<ModelInfo> models() const override {
    return {{.name = "tinynet", .description = "one convolution", .image_size = 8, .classes = 2}};
  }
  void declare(Settings& settings) override { settings.number("tiny-width", width_, between(1, 64), "Channels of Tiny."); }
  std::unique_ptr<Module> make(const std::string&, int64_t classes, DType) const override {
    return std::make_unique<Tiny>(width_, classes);
  }
  std::string classifier() const override { return "head"; }

 private:
  int64_t width_ = 4;
};

const auto kTiny = registered<ModelFamily, TinyFamily>("tiny", "a family of a test");

TEST(ModelExtension, AppearsInTheCatalogAndInTheSettings) {
  const CatalogEntry& entry = catalog_entry("tinynet");
  EXPECT_EQ(entry.family, "tiny");
  EXPECT_EQ(entry.model.image_size, 8);

  ModelOptions chosen;
  Settings settings;
  declare(settings, chosen);
  settings.assign("model", {"tinynet"}, Layer::command_line);
  settings.assign("tiny-width", {"7"}, Layer::command_line);
  EXPECT_THAT(settings.toml(), AllOf(HasSubstr("model = \"tinynet\""), HasSubstr("tiny-width = 7")));
  const Network network = make_network(chosen, {}, DType::bf16);
  EXPECT_EQ(network.description(), "tinynet, tiny-width 7, 2 classes");
  EXPECT_EQ(network.module->parameters().front()->logical, (Shape{7, 3, 3, 3}));
  EXPECT_EQ(network.input.size, 8);
  EXPECT_EQ(network.input_channels, 3);
  try {
    settings.assign("tiny-width", {"65"}, Layer::command_line);
    FAIL() << "65 channels were taken";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tiny-width: got '65'"));
  }
}

TEST(ModelExtension, OptionsAreOfTheirFamilyAlone) {
  const auto refusal = [](const std::string& model, const std::string& option, const std::string& value) -> std::string {
    ModelOptions chosen;
    Settings settings;
    declare(settings, chosen);
    settings.assign("model", {model}, Layer::command_line);
    settings.assign(option, {value}, Layer::command_line);
    try {
      make_network(chosen, {}, DType::f32);
      return "";
    } catch (const UsageError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(refusal("tinynet", "tiny-width", "5"), "");
  EXPECT_THAT(refusal("tinynet", "shortcut", "A"), HasSubstr("shortcut: got 'A', wanted no value: the model tinynet"));
  EXPECT_THAT(refusal("resnet20", "tiny-width", "5"), HasSubstr("tiny-width: got '5', wanted no value: the model resnet20"));
}

TEST(ModelExtension, ItsWeightsSayWhatTheyAreOf) {
  const TemporaryFolder folder;
  ModelOptions chosen;
  Settings settings;
  declare(settings, chosen);
  settings.assign("model", {"tinynet"}, Layer::command_line);
  settings.assign("tiny-width", {"6"}, Layer::command_line);
  const Network network = make_network(chosen, {.class_names = {"cat", "dog", "owl"}}, DType::f32);
  EXPECT_EQ(network_metadata(network).at("tiny_width"), "6");
  ParameterStore store(*network.module);
  initialize(store, 1);
  store.parameter("head.weight").master.copy_from(std::vector<float>(3 * 6, 0.0f));
  store.parameter("head.bias").master.copy_from(std::vector<float>{0, 0, 9});
  save_weights(folder / "w.safetensors", snapshot(store), network_metadata(network));
  write_bytes(folder / "gray.pgm", "P5\n2 2\n255\n\x7f\x7f\x7f\x7f");

  Inference inference({.weights = folder / "w.safetensors"});
  EXPECT_EQ(inference.network().description(), "tinynet, tiny-width 6, 3 classes");
  EXPECT_EQ(inference.classify(folder / "gray.pgm", 1).at(0).class_name, "owl");
}

}  // namespace
}  // namespace residua::test
