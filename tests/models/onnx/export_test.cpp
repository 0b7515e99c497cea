// Exported networks against onnxruntime: small ones against its answers in golden/, which make_golden.py wrote, and the named
// ones against onnxruntime itself where RESIDUA_PYTHON has it.
#define ONNX_ML 1
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "core/autograd/no_grad.h"
#include "core/data/loader.h"
#include "core/evaluate/exact_statistics.h"
#include "core/nn/initialization.h"
#include "core/nn/state_dict.h"
#include "models/onnx/export.h"
#include "models/resnet.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/peer_python.h"
#include "tests/support/random.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::HasSubstr;

/// Small numbers that every machine computes alike.
float number(int64_t i, int64_t salt) { return static_cast<float>((i * 37 + salt * 11) % 64 - 32) / 64; }

/// A network of a few hundred weights with an input of 9 x 9 pixels: odd, so that windows reach over its edges.
struct Tiny {
  explicit Tiny(const ResNetConfig& config) {
    network.name = "resnet20";
    network.family = make_family("resnet20", {});
    network.module = std::make_unique<ResNet>(config);
    network.input.size = 9;
    network.input.class_names = {"cat", "dog", "owl"};
    network.input.classes_named = true;
    store = std::make_unique<ParameterStore>(*network.module);
    int64_t salt = 0;
    for (const Parameter* parameter : store->parameters()) {
      const bool is_gamma = parameter->of_norm && parameter->name.ends_with(".weight");
      std::vector<float> values(static_cast<size_t>(parameter->logical.size()));
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = number(static_cast<int64_t>(i), salt) + (is_gamma ? 1.0f : 0.0f);
      }
      from_logical(*parameter, values, parameter->master);
      ++salt;
    }
    for (const RunningStatistics* layer : store->statistics()) {
      std::vector<float> mean, variance;
      for (int64_t i = 0; i < layer->channels; ++i) {
        mean.push_back(number(i, salt));
        variance.push_back(1 + number(i, salt + 1));
      }
      layer->running_mean.copy_from(mean);
      layer->running_variance.copy_from(variance);
      ++salt;
    }
  }

  Network network;
  std::unique_ptr<ParameterStore> store;
};

ResNetConfig tiny_config() { return {.stem = Stem::cifar, .blocks = {1, 1}, .width = 2, .classes = 3}; }

Tiny tiny(const std::string& name) {
  ResNetConfig config = tiny_config();
  if (name == "zero_pad") {
    config.shortcut = Shortcut::a;
    config.shortcut_pad = ShortcutPad::both;
    config.shortcut_pool = ShortcutPool::average;
    config.width = 3;  // an odd number of channels before the old ones
    Tiny made(config);
    made.network.input.mean.clear();
    for (int64_t i = 0; i < 9 * 9 * 3; ++i) {
      made.network.input.mean.push_back(static_cast<float>(i % 200));  // a mean image
    }
    made.network.input.std = {50, 60, 70};
    return made;
  }
  if (name == "subsample") {
    config.shortcut = Shortcut::a;
    return Tiny(config);
  }
  config.stem = Stem::imagenet;
  config.block = BlockKind::bottleneck;
  config.shortcut = Shortcut::b;
  return Tiny(config);
}

const std::vector<std::string> kTiny = {"bottleneck", "subsample", "zero_pad"};

/// Two images, [2, 3, 9, 9] in 256ths: what make_golden.py gives to onnxruntime.
float pixel(int64_t i) { return static_cast<float>(i * 31 % 257 % 256); }

/// The logits of our own network for these pixels, which are bytes in the order [N, 3, size, size].
std::vector<float> our_logits(Network& network, int64_t images, const std::function<float(int64_t)>& byte_at) {
  const int64_t area = network.input.size * network.input.size;
  std::vector<float> x(static_cast<size_t>(images * area * 3));
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t p = 0; p < area; ++p) {
        const size_t of_mean = static_cast<size_t>(network.input.mean.size() == 3 ? c : p * 3 + c);
        x[static_cast<size_t>((n * area + p) * 3 + c)] =
            (byte_at((n * 3 + c) * area + p) - network.input.mean[of_mean]) / network.input.std[static_cast<size_t>(c)];
      }
    }
  }
  const NoGrad no_grad;
  return network.module->forward(from_values({images, network.input.size, network.input.size, 3}, x), Mode::evaluate)
      .to_vector();
}

/// The model without the version of the program that made it, as text.
std::string text_of(const std::string& bytes) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(bytes));
  EXPECT_EQ(model.producer_name(), "residua");
  model.clear_producer_version();
  return model.DebugString();
}

std::string golden(const std::string& name) { return std::string(RESIDUA_SOURCE_DIR "/tests/models/onnx/golden/") + name; }

TEST(OnnxGolden, ModelsAreThoseThatOnnxruntimeKnows) {
  const char* output = std::getenv("RESIDUA_GOLDEN_OUTPUT");  // for make_golden.py
  for (const std::string& name : kTiny) {
    Tiny made = tiny(name);
    const OnnxModel model = onnx_model(made.network, *made.store);
    if (output != nullptr) {
      write_bytes(fmt::format("{}/{}.onnx", output, name), model.bytes);
      continue;
    }
    EXPECT_EQ(text_of(model.bytes), text_of(read_bytes(golden(name + ".onnx")))) << name;
    const auto wanted = nlohmann::json::parse(read_bytes(golden("logits.json"))).at(name).get<std::vector<float>>();
    const std::vector<float> got = our_logits(made.network, 2, pixel);
    ASSERT_EQ(got.size(), wanted.size()) << name;
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_TRUE(std::isfinite(got[i])) << name;
      EXPECT_NEAR(got[i], wanted[i], 1e-4 * (1 + std::fabs(wanted[i]))) << name << " logit " << i;
    }
    EXPECT_GT(std::fabs(got[0] - got[3]), 1e-2) << name << ": the images must make a difference";
  }
}

TEST(OnnxExport, SaysWhatGoesInAndOut) {
  Tiny made = tiny("subsample");
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(onnx_model(made.network, *made.store).bytes));
  ASSERT_EQ(model.opset_import_size(), 1);
  EXPECT_GE(model.opset_import(0).version(), 13);
  ASSERT_EQ(model.graph().input_size(), 1);
  EXPECT_EQ(model.graph().input(0).name(), "images");
  const auto& input = model.graph().input(0).type().tensor_type().shape();
  EXPECT_EQ(input.dim(0).dim_param(), "batch");
  EXPECT_EQ(input.dim(1).dim_value(), 3);
  EXPECT_EQ(input.dim(3).dim_value(), 9);
  ASSERT_EQ(model.graph().output_size(), 1);
  EXPECT_EQ(model.graph().output(0).name(), "logits");
  const auto& output = model.graph().output(0).type().tensor_type().shape();
  EXPECT_EQ(output.dim(0).dim_param(), "batch");
  EXPECT_EQ(output.dim(1).dim_value(), 3);
  std::map<std::string, std::string> metadata;
  for (const auto& entry : model.metadata_props()) {
    metadata[entry.key()] = entry.value();
  }
  EXPECT_EQ(metadata["classes"], R"(["cat","dog","owl"])");
  EXPECT_EQ(metadata["input_size"], "9");
  EXPECT_THAT(metadata["resize"], HasSubstr("shorter side to 10 pixels"));
  EXPECT_FALSE(metadata.contains("mean"));  // it is in the graph
}

TEST(OnnxExport, NamesTheOperationThatHasNoForm) {
  /// Doubles its input without the tape's or the trace's knowledge.
  class Untraced final : public Module {
   public:
    Untraced() { add_child("fc", fc_); }
    Tensor forward(const Tensor& x, Mode mode) override {
      std::vector<float> values = x.to_vector();
      values.resize(3);
      return fc_.forward(from_values({1, 3}, values), mode);
    }
    Shape summarize(const std::string&, const Shape& input, std::vector<LayerSummary>&) const override { return input; }

   private:
    Linear fc_{3, 3};
  };
  Tiny made = tiny("subsample");
  made.network.module = std::make_unique<Untraced>();
  made.store = std::make_unique<ParameterStore>(*made.network.module);
  EXPECT_TRUE(fails_with([&] { onnx_model(made.network, *made.store); }, {"[1, 3]", "no form in ONNX"}));
}

TEST(OnnxExport, WritesTheNetworkOfAWeightsFile) {
  const TemporaryFolder folder;
  const std::string weights = folder / "w.safetensors";
  Network network = network_from_weights(
      {.path = weights, .arrays = {host_array<float>("fc.weight", {10, 64}, std::vector<float>(640))}, .metadata = {}},
      {.model = "resnet20"}, DType::f32);
  ParameterStore store(*network.module);
  initialize(store, 5);
  save_weights(weights, snapshot(store), network_metadata(network));
  const OnnxExported done = export_onnx({.weights = weights, .path = folder / "m.onnx"});
  const std::string bytes = read_bytes(folder / "m.onnx");
  EXPECT_EQ(done.bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(text_of(bytes), text_of(onnx_model(network, store).bytes));
  EXPECT_THAT(done.network, HasSubstr("resnet20, shortcut A"));
  EXPECT_TRUE(fails_with([&] { export_onnx({.weights = folder / "none.safetensors", .path = folder / "n.onnx"}); },
                         {"none.safetensors"}));
  EXPECT_FALSE(std::filesystem::exists(folder / "n.onnx"));
}

constexpr int64_t kPhotos = 8;

/// A folder of training images: random ones of $RESIDUA_DATA/photos, or made up where there are none.
void write_photos(const TemporaryFolder& folder) {
  const char* data = std::getenv("RESIDUA_DATA");
  const std::filesystem::path photos = data == nullptr ? "" : std::filesystem::path(data) / "photos";
  std::vector<std::filesystem::path> files;
  if (data != nullptr && std::filesystem::is_directory(photos)) {
    std::ranges::copy(std::filesystem::directory_iterator(photos), std::back_inserter(files));
    std::ranges::sort(files);
  }
  Random random("photos");
  for (int64_t i = 0; i < kPhotos; ++i) {
    const std::string name = fmt::format("{}/train/{}/{}.jpg", folder.path(), i % 2 == 0 ? "cat" : "dog", i);
    std::filesystem::create_directories(std::filesystem::path(name).parent_path());
    if (files.empty()) {
      write_bytes(name, encode_jpeg(photo_image(300, 400, static_cast<uint64_t>(i))));
    } else {
      std::filesystem::copy(files[static_cast<size_t>(random.integer(0, std::ssize(files) - 1))], name);
    }
  }
}

// With random weights and the exact statistics of photos; on these photos all at once, and on one alone.
TEST(OnnxExport, OnnxruntimeComputesTheSameLogits) {
  const std::string python = peer_python("onnxruntime, numpy");
  if (python.empty()) {
    GTEST_SKIP() << "needs RESIDUA_PYTHON with onnxruntime and numpy";
  }
  const TemporaryFolder folder;
  write_photos(folder);
  write_bytes(folder / "run.py", R"(
import json, sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1] + "/m.onnx", providers=["CPUExecutionProvider"])
shape = session.get_inputs()[0].shape[1:]
x = (numpy.fromfile(sys.argv[1] + "/pixels", "uint8") / 255).astype("float32").reshape(-1, *shape)
logits = session.run(["logits"], {"images": x})[0]
alone = session.run(["logits"], {"images": x[1:2]})[0]
json.dump([logits.ravel().tolist(), alone.ravel().tolist()], open(sys.argv[1] + "/out.json", "w"))
)");
  struct Case {
    const char* model;
    std::vector<Assignment> options;
  };
  for (const Case& c : {Case{"resnet18", {{"shortcut", {"A"}}}}, Case{"resnet34", {}}, Case{"plain18", {}},
                        Case{"resnet50", {}}, Case{"resnet20", {{"shortcut-pad", {"both"}}, {"shortcut-pool", {"average"}}}}}) {
    SCOPED_TRACE(c.model);
    Network network;
    network.name = c.model;
    network.family = make_family(c.model, {{.lines = c.options}});
    network.module = network.family->make(c.model, 10, DType::f32);
    network.input_channels = 3;
    network.input.size = catalog_entry(c.model).model.image_size;
    network.input.class_names.resize(10, "a class");
    ParameterStore store(*network.module);
    initialize(store, 1);
    const int64_t size = network.input.size;
    Loader loader(open_source("auto", folder.path(), Split::train), {.batch_size = kPhotos, .crop_size = size});
    const std::array<float, 3>& std = network.input.std;
    const InputFormat format{.height = size,
                             .width = size,
                             .channels = 3,
                             .mean = from_values({3}, network.input.mean),
                             .inverse_std = from_values({3}, std::array{1 / std[0], 1 / std[1], 1 / std[2]})};
    ASSERT_TRUE(compute_exact_statistics(*network.module, store, format, loader, kPhotos, [] { return false; }));
    write_bytes(folder / "m.onnx", onnx_model(network, store).bytes);
    loader.start(0);
    const std::span<const uint8_t> pixels = loader.next()->images.span<uint8_t>();
    std::string planes;  // [N, 3, size, size]
    for (int64_t i = 0; i < std::ssize(pixels); ++i) {
      const int64_t plane = i / (size * size);
      planes += static_cast<char>(pixels[static_cast<size_t>((plane / 3 * size * size + i % (size * size)) * 3 + plane % 3)]);
    }
    write_bytes(folder / "pixels", planes);
    ASSERT_EQ(std::system((python + " " + folder / "run.py" + " " + folder.path()).c_str()), 0);
    const auto theirs = nlohmann::json::parse(read_bytes(folder / "out.json")).get<std::vector<std::vector<float>>>();
    const std::vector<float> ours = our_logits(
        network, kPhotos, [&](int64_t i) { return static_cast<float>(static_cast<uint8_t>(planes[static_cast<size_t>(i)])); });
    ASSERT_EQ(ours.size(), theirs[0].size());
    ASSERT_EQ(theirs[1].size(), 10U);
    float largest = 0, error = 0;
    for (size_t i = 0; i < ours.size(); ++i) {
      ASSERT_TRUE(std::isfinite(ours[i]) && std::isfinite(theirs[0][i]));
      largest = std::max(largest, std::fabs(ours[i] - ours[i % 10]));
      error = std::max(error, std::fabs(ours[i] - theirs[0][i]));
    }
    for (size_t i = 0; i < 10; ++i) {
      error = std::max(error, std::fabs(theirs[1][i] - ours[10 + i]));
    }
    EXPECT_LE(error, 1e-3);
    EXPECT_GT(largest, 0.1) << "the photos must make a difference";
    RecordProperty(fmt::format("error of {}", c.model), fmt::format("{:.1e} of differences up to {:.2f}", error, largest));
  }
}

}  // namespace
}  // namespace residua::test
