// What an addition costs: the programs extended-train-imagenet and extended-classify are the tools' own mains, linked with the
// files of tests/extension/additions. Each of these adds one thing, with an option of its own, and nothing else names it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/io/safetensors.h"
#include "tests/data/synthetic_source.h"
#include "tests/support/mirrored.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Extension : public ::testing::Test {
 protected:
  /// Runs a program in the folder; returns its exit code.
  int run(const std::string& program, const std::string& arguments) {
    const std::string command =
        fmt::format("cd {} && " RESIDUA_BINARY_DIR "/{} {} > out 2> err", folder_.path(), program, arguments);
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  int train(const std::string& arguments) { return run("extended-train-imagenet", arguments); }
  std::string read(const char* file) const { return read_bytes(folder_ / file); }

  Safetensors weights(const std::string& run) const { return load_safetensors(folder_ / run + "/last.safetensors"); }
  /// The bytes of one tensor after a run of `arguments`, which goes into a folder of its own.
  std::string trained(const std::string& arguments, const char* tensor) {
    const std::string folder = fmt::format("run{}", runs_++);
    EXPECT_EQ(train(arguments + " --output " + folder), 0) << read("err");
    const Safetensors file = weights(folder);
    const HostArray* array = file.find(tensor);
    EXPECT_NE(array, nullptr) << tensor;
    return array == nullptr ? "" : std::string(reinterpret_cast<const char*>(array->bytes.data()), array->bytes.size());
  }
  /// The records of one type in a run's log.
  std::vector<nlohmann::json> records(const std::string& run, const std::string& type) const {
    std::vector<nlohmann::json> found;
    std::istringstream lines(read_bytes(folder_ / run + "/log.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      nlohmann::json record = nlohmann::json::parse(line);
      if (record.at("type") == type) {
        found.push_back(std::move(record));
      }
    }
    return found;
  }

  TemporaryFolder folder_;
  int runs_ = 0;
};

const std::string kRun = "-b 16 --log-every 1 --threads 1 --precision fp32 --device cpu ";
const std::string kData = "--dataset gradients --crop-size 16 ";
const std::string kParts = kRun + kData + "--model tiny8 --augment tint --lr-schedule polynomial ";
const std::string kAll = kParts + "--iterations 4 ";
const std::string kOptions = "--gradients-angle 30 --tiny-width 6 --tint-strength 40 --polynomial-power 2 ";

TEST_F(Extension, IsInTheHelpAndInTheLists) {
  ASSERT_EQ(train("--help"), 0);
  EXPECT_THAT(read("out"), AllOf(HasSubstr("--gradients-angle NUMBER"), HasSubstr("--tint-strength NUMBER"),
                                 HasSubstr("--polynomial-power NUMBER"), HasSubstr("--tiny-width NUMBER"),
                                 HasSubstr("--flipped-sides both|mirror")));
  EXPECT_THAT(read("out"), AllOf(HasSubstr("|gradients|"), HasSubstr("|tint"), HasSubstr("|polynomial|"),
                                 HasSubstr("--protocol center|flipped|multi-scale|ten-crop")));
  ASSERT_EQ(train("--list-models"), 0);
  EXPECT_THAT(read("out"), AllOf(HasSubstr("tiny8 "), HasSubstr("one convolution and a classifier"), HasSubstr("resnet18 ")));
  ASSERT_EQ(train("--summary --model tiny8 --tiny-width 6"), 0) << read("err");
  EXPECT_THAT(read("out"), HasSubstr("head"));
  // The tools themselves know nothing of it.
  ASSERT_EQ(run("train-imagenet", "--help"), 0);
  EXPECT_THAT(read("out"), AllOf(Not(HasSubstr("gradients-angle")), Not(HasSubstr("tiny")), Not(HasSubstr("tint-strength")),
                                 Not(HasSubstr("polynomial")), Not(HasSubstr("flipped"))));
}

TEST_F(Extension, TrainsAndGoesOnWithItsSettings) {
  ASSERT_EQ(train(kAll + kOptions + "--output run"), 0) << read("err");
  const auto has_settings = [this] {
    EXPECT_THAT(
        read("run/config.toml"),
        AllOf(HasSubstr("dataset = \"gradients\"\n"), HasSubstr("\ngradients-angle = 30\n"), HasSubstr("\nmodel = \"tiny8\"\n"),
              HasSubstr("\ntiny-width = 6\n"), HasSubstr("\naugment = \"tint\"\n"), HasSubstr("\ntint-strength = 40\n"),
              HasSubstr("\nlr-schedule = \"polynomial\"\n"), HasSubstr("\npolynomial-power = 2\n")));
  };
  has_settings();
  ASSERT_EQ(train("--output run --resume auto --iterations 6"), 0) << read("err");
  EXPECT_THAT(read("out"), AllOf(HasSubstr("tiny8"), HasSubstr("resumed at iteration 4 of 6")));
  has_settings();
  EXPECT_EQ(records("run", "train").size(), 6U);
  // Its images are those that the checkpoint was made with, and no others.
  ASSERT_EQ(train("--output run --resume auto --iterations 8 --gradients-angle 31"), 2);
  EXPECT_THAT(read("err"), HasSubstr("30 degrees"));
  // The same settings from the file alone give the same weights.
  ASSERT_EQ(train(kAll + kOptions + "--output first"), 0) << read("err");
  ASSERT_EQ(train("--config first/config.toml --output second"), 0) << read("err");
  EXPECT_TRUE(read("first/last.safetensors") == read("second/last.safetensors"));
}

// config.toml holds the options of all families. Those of another one say nothing at their defaults.
TEST_F(Extension, AnotherFamilysWeightsAreReadBackWithTheirSettings) {
  ASSERT_EQ(train(kRun + kData + "--model resnet20 --iterations 2 --output run"), 0) << read("err");
  EXPECT_THAT(read("run/config.toml"), HasSubstr("\ntiny-width = 4\n"));
  ASSERT_EQ(train("--config run/config.toml --evaluate --weights run/last.safetensors"), 0) << read("err");
  EXPECT_THAT(read("out"), HasSubstr("resnet20"));
  ASSERT_EQ(train("--config run/config.toml --evaluate --weights run/last.safetensors --tiny-width 6"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--tiny-width: got '6', wanted no value: the model resnet20 has no such option"));
}

TEST_F(Extension, ItsWeightsAreReadBack) {
  const std::string options = "--gradients-angle 30 --tiny-width 6 --tint-strength 5 --polynomial-power 2 ";
  ASSERT_EQ(train(kParts + options + "--iterations 60 --lr 0.05 --output run"), 0) << read("err");
  const nlohmann::json last = records("run", "validation").back();
  EXPECT_EQ(last.at("top1_error").get<double>(), 0) << "a convolution tells the two directions apart";
  ASSERT_EQ(train("--dataset gradients --gradients-angle 30 --evaluate --precision fp32 --weights run/last.safetensors"), 0)
      << read("err");
  EXPECT_THAT(read("out"),
              AllOf(HasSubstr("tiny8"), HasSubstr(fmt::format("validation of 32 images: loss {:.4f}, top-1 error 0.00",
                                                              last.at("loss").get<double>()))));
  ASSERT_EQ(run("train-imagenet", "--dataset synthetic --evaluate --weights run/last.safetensors"), 2);
  EXPECT_THAT(read("err"), HasSubstr("tiny8"));

  // One image that brightens to the right and a little down, and one that brightens down and a little to the left.
  for (const bool down : {false, true}) {
    std::string image = "P6\n16 16\n255\n";
    for (int y = 0; y < 16; ++y) {
      for (int x = 0; x < 16; ++x) {
        image.append(3, static_cast<char>(128 + (down ? 9 * (y - 8) - 5 * (x - 8) : 9 * (x - 8) + 5 * (y - 8))));
      }
    }
    write_bytes(folder_ / (down ? "down.ppm" : "right.ppm"), image);
  }
  ASSERT_EQ(run("extended-classify", "right.ppm down.ppm --topk 1 --weights run/last.safetensors"), 0) << read("err");
  const std::string told = read("out");
  const size_t first = told.find("30 degrees");
  const size_t second = told.find("120 degrees");
  EXPECT_NE(second, std::string::npos) << told;
  EXPECT_LT(first, second) << told;
}

TEST_F(Extension, TheSourceHasItsAngle) {
  // Half of the images brighten at 315 degrees and half at 45, so that the mean image does to the right and not downward.
  ASSERT_EQ(train(kAll + "--gradients-angle 315 --output run"), 0) << read("err");
  const Safetensors file = weights("run");
  EXPECT_EQ(nlohmann::json::parse(file.metadata.at("classes")), nlohmann::json({"315 degrees", "405 degrees"}));
  const std::vector<float> mean = file.find("input.mean")->to_floats();
  ASSERT_EQ(mean.size(), 16U * 16 * 3);
  double right = 0;
  double down = 0;
  for (size_t i = 0; i < mean.size(); ++i) {
    ASSERT_TRUE(std::isfinite(mean[i]));
    right += double{mean[i]} * (i / 3 % 16 < 8 ? -1 : 1);
    down += double{mean[i]} * (i / 48 < 8 ? -1 : 1);
  }
  EXPECT_GT(right / 384, 40);  // 160 / 2 * cos(45 degrees) = 56.6 between the middles of the halves
  EXPECT_NEAR(down / 384, 0, 3);
}

TEST_F(Extension, TheScheduleHasItsPower) {
  for (const double power : {1.0, 3.0}) {
    const std::string folder = fmt::format("power{}", power);
    ASSERT_EQ(train(fmt::format("{} --lr 0.2 --polynomial-power {} --output {}", kAll, power, folder)), 0) << read("err");
    const auto steps = records(folder, "train");
    ASSERT_EQ(steps.size(), 4U);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(steps[i].at("lr").get<double>(), 0.2 * std::pow(1 - static_cast<double>(i) / 4, power), 1e-7) << power;
    }
  }
}

TEST_F(Extension, TheViewHasItsStrength) {
  const std::string run = kRun + kData + "--model tiny8 --iterations 4 --augment ";
  const std::string still = trained(run + "none", "conv.weight");
  EXPECT_TRUE(trained(run + "tint --tint-strength 0", "conv.weight") == still);
  const std::string tinted = trained(run + "tint --tint-strength 40", "conv.weight");
  EXPECT_FALSE(tinted == still);
  EXPECT_FALSE(trained(run + "tint --tint-strength 80", "conv.weight") == tinted);
}

/// The mean over an image and its mirror image of what the network says of each, made in double: of the logits, or the
/// logarithm of the mean of the probabilities.
std::vector<float> by_both_sides(Module& module, const Tensor& x, bool of_logits) {
  std::vector<double> mean;
  for (const Tensor& side : {x, mirrored(x)}) {
    const std::vector<float> logits = answer(module, side);
    double sum = 0;
    for (const float logit : logits) {
      sum += std::exp(static_cast<double>(logit));
    }
    mean.resize(logits.size());
    for (size_t c = 0; c < logits.size(); ++c) {
      const auto logit = static_cast<double>(logits[c]);
      mean[c] += (of_logits ? logit : std::exp(logit) / sum) / 2;
    }
  }
  std::vector<float> scores;
  for (const double value : mean) {
    scores.push_back(static_cast<float>(of_logits ? value : std::log(value)));
  }
  return scores;
}

TEST_F(Extension, TheProtocolAveragesBothSidesOfEachImage) {
  const std::string data = "--dataset synthetic --synthetic-images 320 --crop-size 16 ";
  ASSERT_EQ(train(kRun + data + "--model resnet20 --iterations 8 --lr 0.05 --output run"), 0) << read("err");
  const auto images = open_synthetic(Split::val, {.image_size = 16, .images = 320});
  const std::string file = folder_ / "run/last.safetensors";
  const std::string evaluate = data + "--threads 1 --precision fp32 --device cpu --evaluate --weights run/last.safetensors ";
  const auto told = [](const Measured& m) {
    return fmt::format("validation of 64 images: loss {:.4f}, top-1 error {:.2f} %", m.loss, m.top1_error);
  };
  std::set<std::string> all;
  ASSERT_EQ(train(evaluate), 0) << read("err");
  all.insert(told(measured_one_by_one(file, *images)));
  EXPECT_THAT(read("out"), HasSubstr(*all.begin())) << "the center view by default";
  for (const bool of_logits : {false, true}) {
    const auto scores = [of_logits](Module& module, const Tensor& x) { return by_both_sides(module, x, of_logits); };
    const std::string wanted = told(measured_one_by_one(file, *images, scores));
    const std::string option = of_logits ? "--average logits" : "";
    for (const char* batch : {"-b 16", "-b 7", "-b 1"}) {
      ASSERT_EQ(train(evaluate + "--protocol flipped " + option + " " + batch), 0) << read("err");
      EXPECT_THAT(read("out"), HasSubstr(wanted)) << batch << " " << option;
    }
    all.insert(wanted);
  }
  const auto mirror = [](Module& module, const Tensor& x) { return answer(module, mirrored(x)); };
  ASSERT_EQ(train(evaluate + "--protocol flipped --flipped-sides mirror"), 0) << read("err");
  all.insert(told(measured_one_by_one(file, *images, mirror)));
  EXPECT_THAT(read("out"), HasSubstr(told(measured_one_by_one(file, *images, mirror))));
  EXPECT_EQ(all.size(), 4U) << "each way gives another result";
  ASSERT_EQ(train(evaluate + "--protocol sideways"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--protocol: got 'sideways', wanted center, flipped, multi-scale or ten-crop"));
}

TEST_F(Extension, ARunKeepsItsProtocol) {
  ASSERT_EQ(train(kAll + "--protocol flipped --flipped-sides mirror --average logits --output run"), 0) << read("err");
  EXPECT_THAT(read("run/config.toml"),
              AllOf(HasSubstr("\nprotocol = \"flipped\"\n"), HasSubstr("\nflipped-sides = \"mirror\"\n"),
                    HasSubstr("\naverage = \"logits\"\n")));
  ASSERT_EQ(train(kAll + "--output center"), 0) << read("err");
  EXPECT_THAT(read("center/config.toml"), HasSubstr("\nprotocol = \"center\"\n"));
  EXPECT_NE(records("run", "validation").back().at("loss"), records("center", "validation").back().at("loss"));
}

TEST_F(Extension, TheModelHasItsWidth) {
  for (const int width : {3, 7}) {
    ASSERT_EQ(train(fmt::format("{} --tiny-width {} --output width{}", kAll, width, width)), 0) << read("err");
    const Safetensors file = weights(fmt::format("width{}", width));
    ASSERT_NE(file.find("head.weight"), nullptr);
    EXPECT_THAT(file.find("head.weight")->shape, ::testing::ElementsAre(2, width));
  }
  ASSERT_EQ(train(kRun + kData + "--model resnet20 --tiny-width 3 --iterations 4 --output other"), 2);
  EXPECT_THAT(read("err"), HasSubstr("the model resnet20 has no such option"));
}

}  // namespace
}  // namespace residua::test
