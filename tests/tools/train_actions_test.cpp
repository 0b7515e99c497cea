// The actions of train-imagenet that a degradation experiment is made of.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/io/safetensors.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class TrainActionsTest : public ::testing::Test {
 protected:
  int train(const std::string& arguments) { return call("--dataset synthetic --synthetic-images 48 -b 16 " + arguments); }
  int call(const std::string& arguments) {
    const std::string command =
        fmt::format("cd {} && " RESIDUA_BINARY_DIR "/train-imagenet {}{} > out 2> err", folder_.path(), kRun, arguments);
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string read(const char* file) const { return read_bytes(folder_ / file); }
  nlohmann::json json(const char* file) const { return nlohmann::json::parse(read(file)); }

  static constexpr const char* kRun = "--crop-size 16 --threads 1 --device cpu --precision fp32 ";
  TemporaryFolder folder_;
};

TEST_F(TrainActionsTest, ADryRunIsTheRunsOwnDescription) {
  const std::string settings = "--iterations 3 --lr 0.02 --clean-train 12 ";
  ASSERT_EQ(train(settings + "--dry-run --output run"), 0) << read("err");
  const nlohmann::json dry = json("out");
  EXPECT_EQ(dry["configuration"]["lr"], 0.02);
  EXPECT_EQ(dry["iterations"], 3);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
  ASSERT_EQ(train(settings + "--output run --workers 0 --log-every 1"), 0) << read("err");
  EXPECT_THAT(read("out"), HasSubstr("deviates from the recipe small-images:\n  batch-size: 16, the recipe has 128\n"));
  const nlohmann::json result = json("run/result.json");
  for (const auto& [key, value] : dry.items()) {
    EXPECT_EQ(result[key], value) << key;
  }
  EXPECT_EQ(result["final"]["clean_train"]["images"], 12);
  EXPECT_EQ(result["curves"]["running_train"].size(), 3U);
}

TEST_F(TrainActionsTest, AnEvaluationKeepsTheInputOfTheWeights) {
  ASSERT_EQ(train("--iterations 3 --recipe cifar-he2015 --holdout 8 --output run"), 0) << read("err");
  const std::string evaluate = "--evaluate --weights run/last.safetensors --evaluation-json e.json ";
  const auto loss = [&](const std::string& more) {
    EXPECT_EQ(train(evaluate + more), 0) << read("err");
    return json("e.json")["loss"].get<double>();
  };
  const double own = loss("");
  EXPECT_EQ(loss("--recipe cifar-he2015"), own) << "a recipe is for training";
  EXPECT_EQ(loss("--recipe torchvision-v1"), own);
  EXPECT_EQ(loss("--mean run/last.safetensors"), own);
  const double black = loss("--mean 0,0,0");
  EXPECT_NE(black, own);
  // A mean image of zeros is the same as none.
  Safetensors zero = load_safetensors(folder_ / "run/last.safetensors");
  HostArray image = *zero.find("input.mean");
  std::ranges::fill(image.bytes, std::byte{0});
  const std::vector<HostArray> arrays = {std::move(image)};
  save_safetensors(folder_ / "zero.safetensors", views(arrays));
  EXPECT_NEAR(loss("--mean zero.safetensors"), black, 1e-5);
  // The training images' mean, without the deviation of these images.
  EXPECT_NEAR(loss("--mean pixel --holdout 8 --evaluate-on test"), own, 0.01 * own);
}

TEST_F(TrainActionsTest, AnEvaluationSaysHowViewsAreAveraged) {
  ASSERT_EQ(train("--iterations 1 --output run"), 0) << read("err");
  const auto told = [&](const std::string& how) {
    EXPECT_EQ(train("--evaluate --evaluate-on val:2 --weights run/last.safetensors " + how), 0) << read("err");
    return read("out");
  };
  EXPECT_THAT(told("--protocol ten-crop"), HasSubstr("mean of their softmax outputs (as Krizhevsky et al. 2012)\n"));
  EXPECT_THAT(told("--protocol ten-crop --average logits"), HasSubstr("mean of their logits\n"));
  EXPECT_THAT(told("--protocol multi-scale"), HasSubstr("mean of their softmax outputs\n"));
}

TEST_F(TrainActionsTest, AnEvaluationTurnsPhotosAsTheTrainingDid) {
  for (const char* split : {"train", "val"}) {
    for (const char* name : {"a", "b"}) {
      const std::string class_folder = folder_ / fmt::format("photos/{}/{}", split, name);
      std::filesystem::create_directories(class_folder);
      for (uint64_t i = 0; i < 4; ++i) {
        write_bytes(fmt::format("{}/{}.jpg", class_folder, i),
                    with_orientation(encode_jpeg(photo_image(24, 40, i + static_cast<uint64_t>(*name))), 6));
      }
    }
  }
  const std::string photos = "photos -b 4 --model resnet20 --workers 0 ";
  ASSERT_EQ(call(photos + "--exif --iterations 2 --output run"), 0) << read("err");
  const auto loss = [&](const std::string& more) {
    EXPECT_EQ(call(photos + "--evaluate --weights run/last.safetensors --evaluation-json e.json " + more), 0) << read("err");
    return json("e.json")["loss"].get<double>();
  };
  const double own = loss("");
  EXPECT_EQ(loss("--exif"), own);
  EXPECT_NE(loss("--exif=false"), own);
}

TEST_F(TrainActionsTest, ExactWeightsAreThoseOfTheRun) {
  ASSERT_EQ(train("--iterations 4 --output first"), 0) << read("err");
  ASSERT_EQ(train("--iterations 4 --weights first/last.safetensors --freeze-until layer1 --bn-group 6 --output run"), 0)
      << read("err");
  ASSERT_EQ(train("--iterations 4 --weights first/last.safetensors --freeze-until layer1 --bn-group 6 --exact-bn 40 "
                  "--output exact"),
            0)
      << read("err");
  ASSERT_EQ(train("--config run/config.toml --weights run/last.safetensors --exact-bn 40 --exact-weights w.safetensors"), 0)
      << read("err");
  const Safetensors wanted = load_safetensors(folder_ / "exact/last.safetensors");
  for (const HostArray& array : load_safetensors(folder_ / "w.safetensors").arrays) {
    EXPECT_TRUE(std::ranges::equal(array.bytes, wanted.find(array.name)->bytes)) << array.name;
  }
  EXPECT_EQ(train("--weights run/last.safetensors --exact-bn 40 --exact-weights none/w.safetensors"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--exact-weights: got 'none/w.safetensors', wanted a file in a folder that exists"));
  EXPECT_EQ(train("--weights run/last.safetensors --exact-weights w.safetensors"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--exact-bn: got '0'"));
}

TEST_F(TrainActionsTest, ARunThatGoesOnTakesNothingNewFromItsRecipe) {
  ASSERT_EQ(train("--iterations 2 --recipe cifar-he2015 --mean zero.safetensors --output run"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--mean: got 'zero.safetensors', wanted pixel"));
  ASSERT_EQ(train("--iterations 2 --recipe cifar-he2015 --output first"), 0) << read("err");
  std::filesystem::copy_file(folder_ / "first/last.safetensors", folder_ / "mean.safetensors");
  ASSERT_EQ(train("--iterations 2 --recipe cifar-he2015 --mean mean.safetensors --output run"), 0) << read("err");
  // As an older version wrote it, before the recipe had groups.
  std::string config = read("run/config.toml");
  const size_t line = config.find("bn-group = 64\n");
  ASSERT_NE(line, std::string::npos) << config;
  write_bytes(folder_ / "run/config.toml", config.erase(line, std::string("bn-group = 64\n").size()));
  std::filesystem::remove(folder_ / "mean.safetensors");
  ASSERT_EQ(train("--resume run/checkpoint-2.safetensors --iterations 4 --dry-run"), 0) << read("err");
  EXPECT_EQ(json("out")["configuration"].value("bn-group", 0), 0);
  ASSERT_EQ(train("--resume run/checkpoint-2.safetensors --iterations 4"), 0) << read("err");
  const Safetensors before = load_safetensors(folder_ / "first/last.safetensors");
  const Safetensors after = load_safetensors(folder_ / "run/last.safetensors");
  EXPECT_EQ(after.metadata.at("iteration"), "4");
  EXPECT_EQ(after.find("input.mean")->to_floats(), before.find("input.mean")->to_floats());
}

TEST_F(TrainActionsTest, TrainingImagesAreEvaluatedAsTheRunEvaluatesThem) {
  ASSERT_EQ(train("--iterations 3 --clean-train 12 --output run"), 0) << read("err");
  const nlohmann::json clean = json("run/result.json")["final"]["clean_train"];
  ASSERT_EQ(train("--evaluate --evaluate-on train:12 --weights run/last.safetensors"), 0) << read("err");
  EXPECT_THAT(read("out"), HasSubstr(fmt::format("evaluation of 12 training images: loss {:.4f}, top-1 error {:.2f} %",
                                                 clean["loss"].get<double>(), clean["top1_error"].get<double>())));
  ASSERT_EQ(train("--evaluate --evaluate-on train --weights run/last.safetensors"), 0) << read("err");
  EXPECT_THAT(read("out"), HasSubstr("evaluation of 48 training images"));
  ASSERT_EQ(train("--holdout 8 --evaluate --evaluate-on train --weights run/last.safetensors"), 0) << read("err");
  EXPECT_THAT(read("out"), HasSubstr("evaluation of 40 training images"));
  ASSERT_EQ(train("--holdout 8 --evaluate --weights run/last.safetensors"), 0) << read("err");
  EXPECT_THAT(read("out"), HasSubstr("validation of 8 images"));
  ASSERT_EQ(train("--holdout 8 --evaluate --evaluate-on test --weights run/last.safetensors"), 0) << read("err");
  EXPECT_THAT(read("out"), HasSubstr("evaluation of 16 test images"));
  for (const char* wrong : {"test", "train:0", "train:x", "train:5x"}) {
    EXPECT_EQ(train(fmt::format("--evaluate --evaluate-on {} --weights run/last.safetensors", wrong)), 2);
    EXPECT_THAT(read("err"), HasSubstr("--evaluate-on: got"));
  }
}

TEST_F(TrainActionsTest, AnEvaluationWritesWhatItFound) {
  ASSERT_EQ(train("--iterations 3 --output run"), 0) << read("err");
  const std::string evaluate = "--evaluate --weights run/last.safetensors ";
  ASSERT_EQ(train(evaluate + "--protocol ten-crop --evaluate-on train:9 --predictions p.jsonl --evaluation-json e.json "
                             "--dump-views v.safetensors"),
            0)
      << read("err");
  EXPECT_THAT(read("out"), HasSubstr("evaluation of 9 training images"));
  EXPECT_THAT(read("out"), HasSubstr("protocol ten-crop: 10 views of each image, mean of their softmax outputs"));
  EXPECT_THAT(read("out"), HasSubstr("95 % intervals (Wilson): top-1 error"));
  const nlohmann::json found = json("e.json");
  EXPECT_EQ(found["images"], 9);
  EXPECT_EQ(found["protocol"], "ten-crop");
  EXPECT_EQ(found["average"], "softmax");
  EXPECT_EQ(found["views"], 10);
  EXPECT_EQ(found["set"], "training");
  EXPECT_EQ(found["unreadable_images"], 0);
  std::istringstream lines(read("p.jsonl"));
  int64_t images = 0;
  int64_t errors = 0;
  double loss = 0;
  for (std::string line; std::getline(lines, line); ++images) {
    const nlohmann::json image = nlohmann::json::parse(line);
    EXPECT_EQ(image["index"], images);
    errors += image["top5"][0]["label"] != image["label"] ? 1 : 0;
    loss += image["loss"].get<double>() / 9;
  }
  EXPECT_EQ(images, 9);
  EXPECT_EQ(found["top1_errors"], errors);
  EXPECT_NEAR(found["loss"].get<double>(), loss, 1e-9);
  const Safetensors views = load_safetensors(folder_ / "v.safetensors");
  EXPECT_EQ(views.find("labels")->size(), 9);
  EXPECT_THAT(views.find("views.8.0")->shape, ::testing::ElementsAre(10, 16, 16, 3));

  ASSERT_EQ(train(evaluate + "--protocol multi-scale --average logits --evaluate-on val:5 --evaluation-json e.json"), 0)
      << read("err");
  EXPECT_THAT(read("out"), HasSubstr("protocol multi-scale: 10 views of each image, mean of their logits"));
  EXPECT_THAT(read("out"), HasSubstr("validation of 5 images"));
  EXPECT_EQ(json("e.json")["average"], "logits");
  for (const char* option : {"--predictions", "--evaluation-json", "--dump-views"}) {
    EXPECT_EQ(train(fmt::format("{} file --output run2", option)), 2);
    EXPECT_THAT(read("err"), HasSubstr(fmt::format("{}: got 'file', wanted --evaluate too", option)));
    EXPECT_EQ(train(fmt::format("{}{} nowhere/file", evaluate, option)), 2);
    EXPECT_THAT(read("err"), HasSubstr("wanted a file in a folder that exists"));
  }
}

// The weights know the classes a, b and c. The validation folder has c and b, and no training folder beside it.
TEST_F(TrainActionsTest, ClassesOfTheWeightsAreFoundByName) {
  const auto put = [&](const std::string& image, int color) {
    std::filesystem::create_directories(std::filesystem::path(folder_ / image).parent_path());
    write_bytes(folder_ / image, "P6\n1 1\n255\n" + std::string(3, static_cast<char>(color)));
  };
  for (const char* name : {"a", "b", "c"}) {
    for (const char* split : {"train", "val"}) {
      for (int i = 0; i < 6; ++i) {
        put(fmt::format("photos/{}/{}/{}.ppm", split, name, i), 20 + 100 * (name[0] - 'a') + i);
      }
    }
  }
  const auto run = [&](const std::string& arguments) {
    const std::string command =
        fmt::format("cd {} && " RESIDUA_BINARY_DIR "/train-imagenet {} > out 2> err", folder_.path(), arguments);
    return WEXITSTATUS(std::system(command.c_str()));
  };
  ASSERT_EQ(run("photos --model resnet20 --crop-size 16 -b 6 --iterations 4 --threads 1 --precision fp32 --output run"), 0)
      << read("err");
  put("some/val/c/1.ppm", 220);
  put("some/val/b/1.ppm", 120);
  put("some/val/b/2.ppm", 121);
  const std::string evaluate = " --evaluate --weights run/last.safetensors --evaluation-json e.json --predictions p.jsonl";
  ASSERT_EQ(run("some" + evaluate), 0) << read("err");
  const nlohmann::json classes = json("e.json")["classes"];
  ASSERT_EQ(classes.size(), 3U);
  EXPECT_EQ(classes[0]["images"], 0);
  EXPECT_EQ(classes[1]["name"], "b");
  EXPECT_EQ(classes[1]["images"], 2);
  EXPECT_EQ(classes[2]["images"], 1);
  const std::string lines = read("p.jsonl");
  EXPECT_EQ(nlohmann::json::parse(lines.substr(0, lines.find('\n')))["label"], 1) << "b is class 1 of the weights";

  // The same images in a flat folder.
  for (const char* image : {"b1", "b2", "c1"}) {
    put(fmt::format("flat/val/{}.ppm", image), image[0] == 'c' ? 220 : image[1] == '1' ? 120 : 121);
  }
  write_bytes(folder_ / "flat/val.txt", "b1.ppm b\nb2.ppm b\nc1.ppm c\n");
  const double loss = json("e.json")["loss"];
  ASSERT_EQ(run("flat" + evaluate), 0) << read("err");
  EXPECT_THAT(read("out"), HasSubstr("labels 3 images by class name"));
  EXPECT_EQ(json("e.json")["loss"], loss);
  EXPECT_EQ(json("e.json")["classes"], classes);

  put("some/val/d/1.ppm", 220);
  EXPECT_EQ(run("some" + evaluate), 2);
  EXPECT_THAT(read("err"), HasSubstr("run/last.safetensors does not know 1 of the images' classes: \"d\""));
}

TEST_F(TrainActionsTest, LayerStatisticsAreOfTheFirstOrOfSavedWeights) {
  ASSERT_EQ(train("--layer-statistics first.json --statistics-batches 2 --output none"), 0) << read("err");
  EXPECT_EQ(json("first.json")["iteration"], 0);
  EXPECT_EQ(json("first.json")["batches"], 2);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none"));
  ASSERT_EQ(train("--iterations 3 --output run"), 0) << read("err");
  ASSERT_EQ(train("--layer-statistics last.json --weights run/last.safetensors"), 0) << read("err");
  const nlohmann::json last = json("last.json");
  EXPECT_EQ(last["iteration"], 3);
  EXPECT_EQ(last["layers"].size(), 19U);
  EXPECT_NE(last["layers"][0]["weight_norm"], json("first.json")["layers"][0]["weight_norm"]);
}

TEST_F(TrainActionsTest, SavedWeightsGetExactStatistics) {
  ASSERT_EQ(train("--iterations 3 --output run"), 0) << read("err");
  const std::string action = "--weights run/last.safetensors --exact-weights exact.safetensors ";
  ASSERT_EQ(train(action + "--exact-bn 20"), 0) << read("err");
  EXPECT_THAT(read("out"),
              HasSubstr("wrote the weights with batch-norm statistics of 20 training images to exact.safetensors"));
  ASSERT_EQ(train("--evaluate --weights exact.safetensors"), 0) << read("err");
  EXPECT_EQ(train(action), 2);
  EXPECT_THAT(read("err"), HasSubstr("--exact-bn: got '0', wanted the number of training images"));
  EXPECT_EQ(train("--exact-bn 20 --exact-weights exact.safetensors"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--exact-weights: got 'exact.safetensors', wanted a weights file too (weights)"));
  EXPECT_EQ(train("--accumulate 3 --output none"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--accumulate: got '3', wanted a number that divides the batch size 16"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none"));
}

TEST_F(TrainActionsTest, OneActionAtATimeWithWhatBelongsToIt) {
  EXPECT_EQ(train("--evaluate-on train --output run"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--evaluate-on: got 'train', wanted --evaluate too"));
  EXPECT_EQ(train("--statistics-batches 3 --output run"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--statistics-batches: got '3', wanted --layer-statistics too"));
  EXPECT_EQ(train("--dry-run --layer-statistics file.json"), 2);
  EXPECT_THAT(read("err"), HasSubstr("--layer-statistics: got 'both this and --dry-run', wanted one action"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
}

TEST_F(TrainActionsTest, LayerStatisticsAreDrawn) {
  if (std::system("/usr/bin/python3 -c 'import matplotlib' 2>/dev/null") != 0) {
    GTEST_SKIP() << "the system's python3 has no matplotlib";
  }
  ASSERT_EQ(train("--layer-statistics first.json --statistics-batches 1"), 0) << read("err");
  const auto plot = [&](const std::string& arguments) {
    const std::string command = fmt::format(
        "cd {0} && MPLCONFIGDIR={0} " RESIDUA_SOURCE_DIR "/tools/plot-layers {1} > out 2> err", folder_.path(), arguments);
    return WEXITSTATUS(std::system(command.c_str()));
  };
  ASSERT_EQ(plot("first.json first.json -o both"), 0) << read("err");
  EXPECT_THAT(read("both.png"), StartsWith("\x89PNG"));
  EXPECT_THAT(read("both.svg"), HasSubstr("gradient norm"));
  EXPECT_EQ(plot("missing.json"), 2);
  EXPECT_EQ(read("err"), "plot-layers: missing.json does not exist\n");
}

TEST_F(TrainActionsTest, TheRecipeForCifarIsThePapers) {
  ASSERT_EQ(train("--recipe cifar-he2015 --dry-run"), 0) << read("err");
  const nlohmann::json c = json("out")["configuration"];
  EXPECT_EQ(c["weight-decay"], 1e-4);
  EXPECT_EQ(c["momentum"], 0.9);
  EXPECT_EQ(c["lr"], 0.1);
  EXPECT_EQ(c["lr-factor"], 0.1);
  EXPECT_EQ(c["iterations"], 64000);
  EXPECT_EQ(c["augment"], "pad-crop");
  EXPECT_EQ(c["mean"], nlohmann::json::array({"pixel"}));
  EXPECT_EQ(c["shortcut"], "A");
  EXPECT_EQ(c["init"], "fan-in");
}

}  // namespace
}  // namespace residua::test
