// What a run writes with its last validation: evaluation.json, and pictures of what the network saw of the worst images.
#include "core/train/evaluation_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <map>
#include <set>

#include "core/nn/state_dict.h"
#include "core/train/actions.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/short_run.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

nlohmann::json evaluation_in(const std::string& folder) {
  return nlohmann::json::parse(read_bytes(folder + "/" + kEvaluationFile));
}

std::vector<std::string> pictures_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder + "/" + kWorstFolder)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

Image decoded(const std::string& path) {
  const std::string bytes = read_bytes(path);
  return decode({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, path);
}

/// One image, answered by the network's forward pass alone.
struct Answer {
  int32_t label = 0;
  int32_t guess = 0;
  double loss = 0;
  std::vector<double> probabilities;
};

std::vector<Answer> answers_one_by_one(const std::string& weights, const ImageSource& images) {
  std::vector<Answer> answers;
  measured_one_by_one(weights, images, [&](Module& module, const Tensor& x) {
    const std::vector<float> logits = answer(module, x);
    double sum = 0;
    for (const float logit : logits) {
      sum += std::exp(static_cast<double>(logit));
    }
    Answer now;
    now.label = images.label(static_cast<int64_t>(answers.size()));
    now.guess = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
    for (const float logit : logits) {
      now.probabilities.push_back(std::exp(static_cast<double>(logit)) / sum);
    }
    now.loss = -std::log(now.probabilities[static_cast<size_t>(now.label)]);
    answers.push_back(now);
    return logits;
  });
  return answers;
}

TEST(EvaluationFiles, HoldWhatEachImageAloneGives) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  ASSERT_EQ(run.train(), 0);
  const nlohmann::json found = evaluation_in(folder.path());
  const std::vector<Answer> answers = answers_one_by_one(folder / kLastFile, *run.validation);
  ASSERT_EQ(answers.size(), 64U);
  int64_t errors = 0;
  double loss = 0;
  std::vector<int64_t> class_images(4);
  std::vector<int64_t> class_errors(4);
  std::map<std::pair<std::string, std::string>, int64_t> confusions;
  const std::vector<std::string>& names = run.validation->class_names();
  for (const Answer& a : answers) {
    const bool wrong = a.guess != a.label;
    loss += a.loss / 64;
    errors += wrong ? 1 : 0;
    class_images[static_cast<size_t>(a.label)] += 1;
    class_errors[static_cast<size_t>(a.label)] += wrong ? 1 : 0;
    if (wrong) {
      ++confusions[{names[static_cast<size_t>(a.label)], names[static_cast<size_t>(a.guess)]}];
    }
  }
  ASSERT_GT(errors, 3) << "too few to tell anything";
  EXPECT_EQ(found["set"], "validation");
  EXPECT_EQ(found["iteration"], 6);
  EXPECT_EQ(found["weights"], kLastFile);
  EXPECT_EQ(found["images"], 64);
  EXPECT_EQ(found["unreadable_images"], 0);
  EXPECT_EQ(found["top1_errors"], errors);
  EXPECT_NEAR(found["loss"].get<double>(), loss, 1e-4 * loss);
  EXPECT_EQ(found["top1_error"], run.observer.validations.back().top1_error);
  for (size_t c = 0; c < 4; ++c) {
    EXPECT_EQ(found["classes"][c]["name"], names[c]);
    EXPECT_EQ(found["classes"][c]["images"], class_images[c]);
    EXPECT_EQ(found["classes"][c]["top1_errors"], class_errors[c]);
  }
  ASSERT_EQ(found["confusions"].size(), confusions.size());
  for (const nlohmann::json& c : found["confusions"]) {
    EXPECT_EQ(c["images"], (confusions[{c["label"], c["guess"]}])) << c;
  }

  const nlohmann::json& worst = found["worst"];
  ASSERT_EQ(worst.size(), static_cast<size_t>(errors));
  double before = std::numeric_limits<double>::infinity();
  std::set<std::string> pictures;
  for (size_t i = 0; i < worst.size(); ++i) {
    const Answer& a = answers[worst[i]["index"]];
    EXPECT_EQ(worst[i]["label"], names[static_cast<size_t>(a.label)]);
    EXPECT_EQ(worst[i]["guess"], names[static_cast<size_t>(a.guess)]);
    EXPECT_NEAR(worst[i]["label_probability"].get<double>(), a.probabilities[static_cast<size_t>(a.label)], 1e-4);
    EXPECT_NEAR(worst[i]["guess_probability"].get<double>(), a.probabilities[static_cast<size_t>(a.guess)], 1e-4);
    EXPECT_NEAR(worst[i]["loss"].get<double>(), a.loss, 1e-4 * a.loss);
    EXPECT_LE(worst[i]["loss"].get<double>(), before);
    before = worst[i]["loss"];
    ASSERT_EQ(worst[i].contains("view"), i < 24);
    if (i < 24) {
      // Images of the input's own size are seen as they are.
      EXPECT_EQ(worst[i]["view"], fmt::format("worst/{}.png", worst[i]["index"].get<int64_t>()));
      const Image picture = decoded(folder / worst[i]["view"].get<std::string>());
      EXPECT_EQ(picture.size(), (ImageSize{16, 16}));
      EXPECT_TRUE(picture.pixels == run.validation->load(worst[i]["index"]).pixels) << worst[i];
      pictures.insert(fs::path(worst[i]["view"].get<std::string>()).filename().string());
    }
  }
  EXPECT_THAT(pictures_in(folder.path()), testing::UnorderedElementsAreArray(pictures));
}

/// Keeps the first view of each image, as the network gets it.
class FirstViews final : public EvaluationObserver {
 public:
  void saw(std::span<const int64_t> samples, size_t pass, const Tensor& x) override {
    const std::vector<float> values = x.to_vector();
    const size_t of_sample = values.size() / samples.size();
    const auto stored = static_cast<size_t>(x.dim(3));
    for (size_t s = 0; pass == 0 && s < samples.size(); ++s) {
      std::vector<float>& view = views[samples[s]];
      for (int64_t i = 0; i < x.dim(1) * x.dim(2); ++i) {
        const auto pixel = values.begin() + static_cast<std::ptrdiff_t>(s * of_sample + static_cast<size_t>(i) * stored);
        view.insert(view.end(), pixel, pixel + 3);
      }
    }
  }
  std::map<int64_t, std::vector<float>> views;
};

// Photos of 20 x 24 pixels. The mean is taken off and the deviation divided by: the picture has the pixels before that.
TEST(EvaluationFiles, PicturesAreWhatTheNetworkSaw) {
  for (const char* protocol : {"center", "ten-crop", "multi-scale"}) {
    const TemporaryFolder folder;
    SmallRun run(folder.path());
    run.training = run.validation = nullptr;
    run.set("dataset", {"imagefolder"}).set("DIR", {image_folders() + "/drawings"}).set("iterations", {"1"});
    run.set("protocol", {protocol}).set("mean", {"0.5", "0.4", "0.3"}).set("std", {"0.25", "0.2", "0.5"});
    ASSERT_EQ(run.train(), 0);
    const nlohmann::json found = evaluation_in(folder.path());
    EXPECT_EQ(found["protocol"], protocol);
    FirstViews seen;
    EvaluationObserver* const observer = &seen;
    const Safetensors file = read_weights(folder / kLastFile);
    Network network = network_from_weights(file, {}, DType::f32);
    evaluate_weights(file, network, run.validation, run.config, Device{}, DType::f32, run.observer, {&observer, 1});
    size_t pictures = 0;
    for (const nlohmann::json& worst : found["worst"]) {
      const std::vector<float>& view = seen.views.at(worst.at("index"));
      const Image picture = decoded(folder / worst.at("view").get<std::string>());
      ASSERT_EQ(picture.pixels.size(), view.size());
      constexpr double kMean[] = {127.5, 102, 76.5};
      constexpr double kStd[] = {63.75, 51, 127.5};
      for (size_t i = 0; i < view.size(); ++i) {
        ASSERT_NEAR(picture.pixels[i], static_cast<double>(view[i]) * kStd[i % 3] + kMean[i % 3], 1e-3) << protocol << " " << i;
      }
      ++pictures;
    }
    EXPECT_GT(pictures, 0U) << protocol;
  }
}

TEST(EvaluationFiles, AreOfTheLastValidationAlone) {
  const TemporaryFolder folder;
  {
    volatile std::sig_atomic_t stop = 0;
    SmallRun run(folder.path());
    run.observer.on_evaluated = [&](const EvaluationRecord&) { stop = SIGTERM; };
    ASSERT_EQ(run.train(stop), SIGTERM);
  }
  EXPECT_THAT(logged(folder.path(), "validation", "iteration"), ElementsAre(3));
  EXPECT_FALSE(fs::exists(folder / kEvaluationFile));
  ASSERT_EQ(SmallRun(folder.path()).resume(newest_checkpoint(folder.path())).train(), 0);
  EXPECT_EQ(evaluation_in(folder.path())["iteration"], 6);

  // A longer run has others. Those of before are gone.
  write_bytes(folder / "worst/9999.png", "of before");
  write_bytes(folder / "worst/note.txt", "the user's own");
  ASSERT_EQ(SmallRun(folder.path()).set("iterations", {"7"}).resume(newest_checkpoint(folder.path())).train(), 0);
  const nlohmann::json found = evaluation_in(folder.path());
  EXPECT_EQ(found["iteration"], 7);
  std::vector<std::string> names = {"note.txt"};
  for (const nlohmann::json& worst : found["worst"]) {
    if (worst.contains("view")) {
      names.push_back(fs::path(worst["view"].get<std::string>()).filename().string());
    }
  }
  EXPECT_THAT(pictures_in(folder.path()), testing::UnorderedElementsAreArray(names));
}

TEST(EvaluationFiles, ARunThatCannotWriteThemGoesOnWithItsValidation) {
  const TemporaryFolder folder;
  write_bytes(folder / kWorstFolder, "a file in the way");
  EXPECT_TRUE(fails_with([&] { SmallRun(folder.path()).train(); }, {"worst"}));
  EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).iteration, 6);
  fs::remove(folder / kWorstFolder);
  SmallRun run(folder.path());
  ASSERT_EQ(run.resume(newest_checkpoint(folder.path())).train(), 0);
  EXPECT_EQ(evaluation_in(folder.path())["iteration"], 6);
  EXPECT_THAT(logged(folder.path(), "validation", "iteration"), ElementsAre(3, 6));
  EXPECT_THAT(logged(folder.path(), "train", "iteration"), ElementsAre(2, 3, 4, 6));
}

TEST(EvaluationFiles, OfANetworkWithoutErrorsNameNoImage) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  const RunFolder output(folder.path(), Existing::start);
  const std::vector<ImageResult> right = {image_result(0, 1, std::vector<float>{0, 9, 0, 0})};
  const Evaluated evaluated{.network = run.network(),
                            .config = run.config,
                            .weights = "none",
                            .iteration = 0,
                            .set = "test",
                            .images = run.validation,
                            .device = {}};
  write_evaluation(output, evaluated, right);
  const nlohmann::json found = evaluation_in(folder.path());
  EXPECT_THAT(found["worst"], IsEmpty());
  EXPECT_THAT(found["confusions"], IsEmpty());
  EXPECT_EQ(found["set"], "test");
  EXPECT_EQ(found["unreadable_images"], 63);
  EXPECT_THAT(pictures_in(folder.path()), IsEmpty());
}

TEST(EvaluationFiles, AnImageThatIsGoneHasNoPicture) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("max-bad-images", {"9"}).set("max-bad-share", {"1"});
  run.network();
  const auto flaky = std::make_shared<WatchedSource>(run.validation, [](int64_t, int64_t image) {
    if (image == 2) {
      fail("image 2 is gone");
    }
  });
  const std::vector<ImageResult> wrong = {image_result(2, 1, std::vector<float>{9, 0, 0, 0}),
                                          image_result(5, 1, std::vector<float>{8, 0, 0, 0})};
  const RunFolder output(folder.path(), Existing::start);
  write_evaluation(output,
                   {.network = run.network(),
                    .config = run.config,
                    .weights = "none",
                    .iteration = 0,
                    .set = "validation",
                    .images = flaky,
                    .device = {}},
                   wrong);
  const nlohmann::json found = evaluation_in(folder.path());
  EXPECT_FALSE(found["worst"][0].contains("view"));
  EXPECT_EQ(found["worst"][1]["view"], "worst/5.png");
  EXPECT_THAT(pictures_in(folder.path()), ElementsAre("5.png"));
}

}  // namespace
}  // namespace residua::test
