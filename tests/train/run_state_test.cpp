#include "core/train/run_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/nn/initialization.h"
#include "models/resnet.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

const std::string kGolden = RESIDUA_SOURCE_DIR "/tests/run/golden/";

ResNetConfig tiny() {
  return {.stem = Stem::cifar, .blocks = {1, 1}, .width = 4, .shortcut = Shortcut::b, .stored_in_channels = 4, .classes = 3};
}

struct Network {
  ResNet model{tiny()};
  ParameterStore store{model};
};

RunState distinct() {
  return {.model = "tiny, shortcut B",
          .epoch = 1,
          .batch = 2,
          .iteration = 3,
          .validated = 4,
          .tested = 20,
          .seed = 5,
          .batch_size = 6,
          .images = 7,
          .train_set = "8888888888888888",
          .validation_set = "9999999999999999",
          .class_names = {"ten", "eleven", "zwölf"},
          .best_error = 12.345678901234567,
          .schedule = {.name = "plateau", .numbers = {0.1, 13, std::numeric_limits<double>::infinity()}},
          .loss_scale = 1.4012985e-45f,
          .good_steps = 15,
          .skipped_steps = 22,
          .skipped_in_a_row = 23,
          .reported_skips = 24,
          .rollbacks = 25,
          .fixed_threads = 26,
          .exact_bn = 21,
          .unreported = {.loss = 0.1, .images = 17, .top1_errors = 18, .top5_errors = 19},
          .batches_tracked = 16,
          .machine = {.device = "cuda:22", .precision = "bf16", .threads = 23, .processes = 24}};
}

void expect_same(const RunState& a, const RunState& b) {
  EXPECT_EQ(a.model, b.model);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.batch, b.batch);
  EXPECT_EQ(a.iteration, b.iteration);
  EXPECT_EQ(a.validated, b.validated);
  EXPECT_EQ(a.tested, b.tested);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.batch_size, b.batch_size);
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.train_set, b.train_set);
  EXPECT_EQ(a.validation_set, b.validation_set);
  EXPECT_EQ(a.class_names, b.class_names);
  EXPECT_EQ(a.best_error, b.best_error);
  EXPECT_EQ(a.schedule, b.schedule);
  EXPECT_EQ(a.loss_scale, b.loss_scale);
  EXPECT_EQ(a.good_steps, b.good_steps);
  EXPECT_EQ(a.skipped_steps, b.skipped_steps);
  EXPECT_EQ(a.skipped_in_a_row, b.skipped_in_a_row);
  EXPECT_EQ(a.reported_skips, b.reported_skips);
  EXPECT_EQ(a.rollbacks, b.rollbacks);
  EXPECT_EQ(a.fixed_threads, b.fixed_threads);
  EXPECT_EQ(a.exact_bn, b.exact_bn);
  EXPECT_EQ(a.unreported.loss, b.unreported.loss);
  EXPECT_EQ(a.unreported.images, b.unreported.images);
  EXPECT_EQ(a.unreported.top1_errors, b.unreported.top1_errors);
  EXPECT_EQ(a.unreported.top5_errors, b.unreported.top5_errors);
  EXPECT_EQ(a.batches_tracked, b.batches_tracked);
  EXPECT_EQ(different_machine(a.machine, b.machine), "");
}

void expect_same_arrays(const StateSnapshot& a, const StateSnapshot& b) {
  const std::vector<HostArrayView> left = checkpoint_arrays(a);
  const std::vector<HostArrayView> right = checkpoint_arrays(b);
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i].name, right[i].name);
    EXPECT_TRUE(std::ranges::equal(left[i].bytes, right[i].bytes)) << left[i].name;
  }
  EXPECT_EQ(a.batches_tracked, b.batches_tracked);
}

/// Different values in every array.
void number(ParameterStore& store) {
  float next = 0;
  const auto values = [&next](int64_t size) {
    std::vector<float> result(static_cast<size_t>(size));
    std::ranges::generate(result, [&next] { return next += 0.25f; });
    return result;
  };
  for (const Parameter* parameter : store.parameters()) {
    from_logical(*parameter, values(parameter->logical.size()), parameter->master);
    from_logical(*parameter, values(parameter->logical.size()), parameter->velocity);
  }
  for (const RunningStatistics* layer : store.statistics()) {
    layer->running_mean.copy_from(values(layer->channels));
    layer->running_variance.copy_from(values(layer->channels));
  }
  store.batches_tracked = 16;
  store.masters_changed();
}

TEST(RunState, EveryFieldComesBackFromAFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint.safetensors";
  Network saved;
  number(saved.store);
  RunState state = distinct();
  state.batches_tracked = 0;  // the snapshot knows
  save_run(path, state, snapshot(saved.store));
  Network loaded;
  initialize(loaded.store, 3);
  expect_same(resume_run(path, distinct(), loaded.store), distinct());
  expect_same_arrays(snapshot(loaded.store), snapshot(saved.store));
  // As many fields in the file as compared here: a new one belongs in distinct() and expect_same().
  EXPECT_EQ(to_json(distinct()).size(), 25U);
  EXPECT_EQ(load_checkpoint(path).state, nlohmann::json::parse(to_json(distinct()).dump()));
}

TEST(RunState, OfTheFirstFormatGoesOn) {
  const std::string path = kGolden + "checkpoint_format1.safetensors";
  RunState begun = distinct();
  begun.model = "tiny, shortcut B, end, stride, conv3x3, 3 classes";
  begun.seed = 11;
  begun.batch_size = 16;
  begun.images = 333;
  Network network;
  initialize(network.store, 3);
  const RunState state = resume_run(path, begun, network.store);
  expect_same(state, {.model = "tiny, shortcut B, end, stride, conv3x3, 3 classes",
                      .epoch = 3,
                      .batch = 5,
                      .iteration = 67,
                      .validated = 60,
                      .seed = 11,
                      .batch_size = 16,
                      .images = 333,
                      .train_set = "",
                      .validation_set = "",
                      .class_names = {},
                      .best_error = 12.5,
                      .schedule = {.name = "plateau", .numbers = {std::numeric_limits<double>::infinity(), 2, 1}},
                      .loss_scale = 4096,
                      .good_steps = 99,
                      .batches_tracked = 1234});
  // The arrays are numbered in the order in which they were filled: weights and velocities in turn, then the statistics.
  const StateSnapshot now = snapshot(network.store);
  EXPECT_EQ(now.batches_tracked, 1234);
  float array = 1;
  const auto check = [&array](const HostArray& values) {
    float i = 0;
    for (const float value : values.span<float>()) {
      ASSERT_EQ(value, array + i++ / 128) << values.name;
    }
    ++array;
  };
  for (size_t i = 0; i < now.weights.size(); ++i) {
    check(now.weights[i]);
    check(now.velocities[i]);
  }
  for (size_t i = 0; i < now.running_means.size(); ++i) {
    check(now.running_means[i]);
    check(now.running_variances[i]);
  }
  begun.images = 334;
  EXPECT_TRUE(fails_with([&] { resume_run(path, begun, network.store); }, {"333 training images, but this run has 334"}));
}

TEST(RunState, WeightsOfTheFirstFormatAreTheSameFile) {
  Network network;
  number(network.store);
  load_weights(read_weights(kGolden + "weights.safetensors"), network.store, "fc.");
  const StateSnapshot now = snapshot(network.store);
  EXPECT_EQ(now.batches_tracked, 1234);
  EXPECT_EQ(now.weights[0].span<float>()[1], 1 + 1 / 128.0f);
  const TemporaryFolder folder;
  save_weights(folder / "again", now, load_safetensors_metadata(kGolden + "weights.safetensors"));
  EXPECT_TRUE(read_bytes(folder / "again") == read_bytes(kGolden + "weights.safetensors"));
}

TEST(RunState, AnotherRunIsRefusedAndNothingIsChanged) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint.safetensors";
  Network saved;
  number(saved.store);
  save_run(path, distinct(), snapshot(saved.store));
  Network network;
  initialize(network.store, 3);
  const StateSnapshot before = snapshot(network.store);
  const auto refused = [&](const std::function<void(RunState&)>& change, std::initializer_list<std::string> parts) {
    RunState begun = distinct();
    change(begun);
    EXPECT_TRUE(fails_with([&] { resume_run(path, begun, network.store); }, parts));
    expect_same_arrays(snapshot(network.store), before);
  };
  refused([](RunState& s) { s.model = "other"; }, {path, "tiny, shortcut B", "trains other"});
  refused([](RunState& s) { s.seed = 50; }, {path, "seed 5 ", "seed 50"});
  refused([](RunState& s) { s.batch_size = 60; }, {path, "batch size 6,", "batch size 60"});
  refused([](RunState& s) { s.images = 70; }, {path, "7 training images", "has 70"});
  refused([](RunState& s) { s.train_set = "8888888888888880"; }, {path, "other training images", "paths, labels or order"});
  refused([](RunState& s) { s.fixed_threads = 4; }, {"threads", "a deterministic run depends on the number of threads"});
  refused([](RunState& s) { s.validation_set = "0"; }, {path, "other validation images"});
  refused([](RunState& s) { s.validation_set = ""; }, {path, "other validation images"});
  refused([](RunState& s) { s.class_names[1] = "elf"; }, {path, "class 1 was \"eleven\" and is \"elf\""});
  refused([](RunState& s) { std::swap(s.class_names[0], s.class_names[2]); },
          {path, "class 0 was \"ten\" and is \"zwölf\", class 2 was \"zwölf\" and is \"ten\""});
  // With weights beside it, it is said that a new run can begin from them.
  write_bytes(folder / "last.safetensors", "");
  refused([](RunState& s) { s.train_set = "8888888888888880"; }, {"start from its weights in " + folder / "last.safetensors"});
}

TEST(RunState, AnotherMachineIsDescribed) {
  const Machine before{.device = "cpu, A", .precision = "fp32", .threads = 2, .processes = 1};
  EXPECT_EQ(different_machine(before, before), "");
  EXPECT_EQ(different_machine(before, {.device = "cuda:0, B", .precision = "bf16", .threads = 4, .processes = 3}),
            "device: cpu, A before, cuda:0, B now; precision: fp32 before, bf16 now; threads: 2 before, 4 now; ranks: 1 "
            "before, 3 now");
  EXPECT_EQ(different_machine({}, before), "") << "an older checkpoint does not say";
}

TEST(RunState, ThatIsDamagedIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint.safetensors";
  Network network;
  const StateSnapshot state = snapshot(network.store);
  for (const char* field : {"model", "epoch", "batch", "iteration", "seed", "batch_size", "best_error", "schedule",
                            "loss_scale", "good_steps", "batches_tracked"}) {
    nlohmann::json json = to_json(distinct());
    json.erase(field);
    save_checkpoint(path, json, checkpoint_arrays(state));
    EXPECT_TRUE(fails_with([&] { run_state(load_checkpoint(path)); }, {path, "state is damaged", field}));
    json[field] = nlohmann::json::array({nlohmann::json::object()});
    save_checkpoint(path, json, checkpoint_arrays(state));
    EXPECT_TRUE(fails_with([&] { resume_run(path, distinct(), network.store); }, {path, "state is damaged"})) << field;
  }
}

}  // namespace
}  // namespace residua::test
