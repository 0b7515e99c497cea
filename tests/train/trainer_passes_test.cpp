// Runs whose steps have several passes, whose batch norm has groups, and whose final statistics are exact.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/autograd/no_grad.h"
#include "core/nn/state_dict.h"
#include "core/ops/conv2d.h"
#include "core/train/actions.h"
#include "core/train/run_saver.h"
#include "tests/data/synthetic_source.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::vector<double> values_of(const std::string& file) {
  std::vector<double> all;
  for (const HostArray& array : load_safetensors(file).arrays) {
    if (is_floating(array.dtype)) {
      const std::vector<float> values = array.to_floats();
      all.insert(all.end(), values.begin(), values.end());
    }
  }
  return all;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    sum += (a[i] - b[i]) * (a[i] - b[i]);  // NaN stays
  }
  return std::sqrt(sum);
}

// Steps of 16 images: in two passes, and in one with two groups. Rounding errors grow by a factor of 2 a step, as they do if
// the rate changes by a millionth; TrainStepTest goes on for 20 steps.
TEST(Trainer, PassesAreTheStepsOfGroups) {
  const TemporaryFolder folder;
  const auto run = [&](const char* name, const char* accumulate, const char* group) {
    SmallRun small(folder / name);
    small.set("iterations", {"10"}).set("evaluate-every", {"100"}).set("lr", {"0.001"});
    small.set("accumulate", {accumulate}).set("bn-group", {group});
    EXPECT_EQ(small.train(), 0);
    return values_of(folder / name + "/" + kLastFile);
  };
  const std::vector<double> groups = run("groups", "1", "8");
  const std::vector<double> passes = run("passes", "2", "0");
  const std::vector<double> whole = run("whole", "1", "0");
  EXPECT_LT(distance(passes, groups), 0.005 * distance(whole, groups)) << "the batch as one group is another step";
  const auto losses = [&](const char* name) { return logged(folder / name, "train", "loss"); };
  const std::vector<double> a = losses("groups");
  const std::vector<double> b = losses("passes");
  ASSERT_EQ(a.size(), 5U);
  ASSERT_EQ(b.size(), a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(b[i], a[i], 1e-4 * a[i]) << i;
  }
  EXPECT_EQ(logged(folder / "passes", "train", "lr"), logged(folder / "groups", "train", "lr"));
  EXPECT_EQ(logged(folder / "passes", "train", "iteration"), logged(folder / "groups", "train", "iteration"));
}

/// Files of 20 steps, and of 7 steps and then 13 more, with groups of 5 and 3 images in each of two passes.
void expect_same_bits(const std::string& folder, const char* exact, bool validates) {
  const auto run = [&](const std::string& name, const char* iterations, bool resumed) {
    SmallRun small(folder + "/" + name);
    small.set("iterations", {iterations}).set("accumulate", {"2"}).set("bn-group", {"5"}).set("exact-bn", {exact});
    small.set("evaluate-every", {"1.75"});  // each 7 iterations
    small.validates = validates;
    if (resumed) {
      small.resume(newest_checkpoint(folder + "/" + name));
    }
    ASSERT_EQ(small.train(), 0);
  };
  run("whole", "20", false);
  run("parts", "7", false);
  run("parts", "20", true);
  for (const std::string& file : {checkpoint_name(20), std::string(kLastFile)}) {
    EXPECT_TRUE(read_bytes(folder + "/parts/" + file) == read_bytes(folder + "/whole/" + file)) << file;
  }
}

TEST(Trainer, ARunOfPassesAndGroupsInTwoPartsHasTheBitsOfAWholeOne) {
  const TemporaryFolder folder;
  expect_same_bits(folder.path(), "0", true);
}

// Without validation: that of the shorter run uses exact statistics, and the other's running averages.
TEST(Trainer, ARunToExactStatisticsInTwoPartsHasTheBitsOfAWholeOne) {
  const TemporaryFolder folder;
  expect_same_bits(folder.path(), "24", false);
}

TEST(Trainer, PassesMustDivideTheBatch) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  int64_t read = 0;
  run.training = std::make_shared<WatchedSource>(run.training, [&](int64_t, int64_t) { ++read; });
  for (const char* passes : {"3", "32"}) {
    run.set("accumulate", {passes}).set("exact-bn", {"40"});
    EXPECT_TRUE(fails_with([&] { run.network(); }, {"accumulate", passes, "a number that divides the batch size 16"}));
  }
  EXPECT_EQ(read, 0) << "before the images are measured";
  EXPECT_EQ((TrainingOptions{.batch_size = 16, .accumulate = 32}.pass_images()), 1) << "of an evaluation";
}

/// Mean and variance of the output of the first convolution over the images of exact-bn, in double sums.
std::pair<std::vector<double>, std::vector<double>> first_statistics(const std::string& weights, const RunConfig& config,
                                                                     const std::shared_ptr<const ImageSource>& train) {
  const NoGrad no_grad;
  const Safetensors file = read_weights(weights);
  const Network network = network_from_weights(file, {}, DType::f32);
  ParameterStore store(*network.module, {.purpose = Purpose::inference});
  load_weights(file, store, "fc.");
  InputFormat format = input_format(network, DType::f32, Device{});
  const std::unique_ptr<Loader> loader = exact_statistics_loader(train, config, network.input, Device{});
  const Tensor w = store.parameter("conv1.weight").value;
  std::vector<double> mean(static_cast<size_t>(w.dim(0)));
  std::vector<double> square(mean.size());
  double count = 0;
  loader->start(0);
  for (int64_t left = config.training.exact_bn; left > 0;) {
    const Batch* batch = loader->next();
    const Batch part = rows_of(*batch, 0, std::min(left, batch->size()));
    left -= part.labels.size();
    format.height = format.width = batch->height;
    const std::vector<float> x =
        conv2d(prepare_input(part.images, part.views, format), w, {.stride = 1, .padding = 1}).to_vector();
    for (size_t i = 0; i < x.size(); ++i) {
      mean[i % mean.size()] += static_cast<double>(x[i]);
      square[i % mean.size()] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
    count += static_cast<double>(x.size() / mean.size());
  }
  for (size_t c = 0; c < mean.size(); ++c) {
    mean[c] /= count;
    square[c] = square[c] / count - mean[c] * mean[c];
  }
  return {mean, square};
}

void expect_exact(const std::string& weights, const SmallRun& run, const std::string& images) {
  const Safetensors file = load_safetensors(weights);
  EXPECT_EQ(file.metadata.at(kExactStatisticsKey), images);
  const auto [mean, variance] = first_statistics(weights, run.config, run.training);
  EXPECT_TRUE(close(file.find("bn1.running_mean")->to_floats(), mean, 1e-5));
  EXPECT_TRUE(close(file.find("bn1.running_var")->to_floats(), variance, 1e-5));
}

TEST(Trainer, ExactStatisticsAreSavedAndValidated) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("exact-bn", {"40"});
  ASSERT_EQ(run.train(), 0);
  expect_exact(folder / kLastFile, run, "40");
  EXPECT_THAT(run.observer.notes, Contains(HasSubstr("batch-norm statistics computed over 40 training images")));
  ASSERT_EQ(run.observer.validations.size(), 2U);
  const Measured wanted = measured_one_by_one(folder / kLastFile, *run.validation);
  EXPECT_NEAR(run.observer.validations.back().loss, wanted.loss, 1e-4 * wanted.loss);
}

TEST(Trainer, ExactStatisticsNeedNoValidation) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.validates = false;
  run.set("exact-bn", {"17"}).set("accumulate", {"2"});
  ASSERT_EQ(run.train(), 0);
  expect_exact(folder / kLastFile, run, "17");
}

TEST(Trainer, ACompleteRunGetsExactStatistics) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).train(), 0);
  SmallRun again(folder.path());
  ASSERT_EQ(again.set("exact-bn", {"40"}).resume(newest_checkpoint(folder.path())).train(), 0);
  expect_exact(folder / kLastFile, again, "40");
  ASSERT_EQ(again.observer.validations.size(), 1U);
  const Measured wanted = measured_one_by_one(folder / kLastFile, *again.validation);
  EXPECT_NEAR(again.observer.validations.back().loss, wanted.loss, 1e-4 * wanted.loss);
}

TEST(Trainer, ExactStatisticsHaveNoBatchOrGroupOfOneImage) {
  const auto refused = [](const char* exact, const char* group, const char* part) {
    const TemporaryFolder folder;
    SmallRun run(folder.path());
    run.set("exact-bn", {exact}).set("bn-group", {group});
    return fails_with([&] { run.network(); }, {"exact-bn", "no single image for the last ", part});
  };
  EXPECT_TRUE(refused("241", "0", "batch, such as 242")) << "15 batches of 16, and 1";
  EXPECT_TRUE(refused("19", "6", "group, such as 20")) << "6 + 6, 6 + 1";
  SmallRun few("no folder");
  few.training = open_synthetic(Split::train, {.image_size = 16, .classes = 4, .images = 16});
  EXPECT_TRUE(fails_with([&] { few.set("exact-bn", {"17"}).set("batch-size", {"32"}).network(); },
                         {"exact-bn", "last batch, such as 18"}))
      << "no batch is larger than the set";
  SmallRun alone("no folder");
  EXPECT_NO_THROW(alone.set("exact-bn", {"241"}).set("bn-group", {"1"}).network()) << "each group is of one image";
  SmallRun one("no folder");
  EXPECT_NO_THROW(one.set("exact-bn", {"241"}).set("accumulate", {"16"}).network()) << "each pass is of one image";
}

TEST(Trainer, StepsAfterExactStatisticsAverageAgain) {
  const TemporaryFolder folder;
  ASSERT_EQ(SmallRun(folder.path()).set("exact-bn", {"40"}).train(), 0);
  SmallRun longer(folder.path());
  ASSERT_EQ(longer.set("exact-bn", {"0"}).set("iterations", {"8"}).resume(newest_checkpoint(folder.path())).train(), 0);
  EXPECT_FALSE(load_safetensors(folder / kLastFile).metadata.contains(kExactStatisticsKey));
}

TEST(Trainer, ASignalDuringExactStatisticsLeavesThemToTheNextStart) {
  const TemporaryFolder folder;
  {
    SmallRun cut(folder.path());
    cut.set("exact-bn", {"40"}).network();  // whose mean image reads all
    volatile std::sig_atomic_t stop = 0;
    cut.training = std::make_shared<WatchedSource>(cut.training,
                                                   [&](int64_t reads, int64_t) { stop = reads >= 6 * 16 + 20 ? SIGTERM : 0; });
    ASSERT_EQ(cut.train(stop), SIGTERM);
    EXPECT_FALSE(load_safetensors(folder / kLastFile).metadata.contains(kExactStatisticsKey));
  }
  SmallRun rest(folder.path());
  ASSERT_EQ(rest.set("exact-bn", {"40"}).resume(newest_checkpoint(folder.path())).train(), 0);
  expect_exact(folder / kLastFile, rest, "40");
}

TEST(Actions, SavedWeightsGetExactStatistics) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  ASSERT_EQ(run.train(), 0);
  const Safetensors before = read_weights(folder / kLastFile);
  Network network = network_from_weights(before, {}, DType::f32);
  const std::string path = folder / "exact.safetensors";
  const auto write = [&] {
    write_exact_weights(before, network, run.training, run.config, Device{}, DType::f32, path, run.observer);
  };
  EXPECT_TRUE(fails_with(write, {"exact-bn", "the number of training images"}));
  run.set("exact-bn", {"33"}).set("bn-group", {"6"});
  write();
  expect_exact(path, run, "33");
  const Safetensors after = read_weights(path);
  ASSERT_EQ(after.arrays.size(), before.arrays.size());
  for (const HostArray& array : before.arrays) {
    const bool same = std::ranges::equal(after.find(array.name)->bytes, array.bytes);
    EXPECT_EQ(same, array.name.find(".running_") == std::string::npos) << array.name;
  }
  for (const auto& [key, value] : before.metadata) {
    EXPECT_EQ(after.metadata.at(key), value) << key;
  }
}

}  // namespace
}  // namespace residua::test
