// result.json, from logs written by hand and from runs.
#include "core/train/run_result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

RunDescription description() {
  RunDescription d;
  d.configuration = {{"model", "plain20"}, {"batch-size", 100}};
  d.processor = "a processor";
  return d;
}

constexpr const char* kLog =
    R"({"type":"train","iteration":10,"epoch":1.0,"loss":2.0,"top1_error":80.0,"top5_error":40.0,"lr":0.1,"images_per_second":500.0,"data_wait":0.0}
{"type":"clean_train","iteration":10,"epoch":1.0,"images":50,"loss":1.9,"top1_error":78.0,"top5_error":39.0}
{"type":"validation","iteration":10,"epoch":1.0,"images":40,"loss":1.8,"top1_error":60.0,"top5_error":30.0}
{"type":"skipped_image","iteration":11,"message":"x"}
{"type":"train","iteration":20,"epoch":2.0,"loss":1.5,"top1_error":70.0,"top5_error":35.0,"lr":0.01,"images_per_second":1000.0,"data_wait":0.0}
{"type":"clean_train","iteration":20,"epoch":2.0,"images":50,"loss":1.4,"top1_error":68.0,"top5_error":34.0}
{"type":"validation","iteration":20,"epoch":2.0,"images":40,"loss":1.3,"top1_error":62.0,"top5_error":31.0}
{"type":"test","iteration":20,"epoch":2.0,"images":30,"loss":1.2,"top1_error":61.0,"top5_error":30.5}
)";

TEST(RunResult, IsTheLogsLastIteration) {
  const TemporaryFolder folder;
  write_bytes(folder / "log.jsonl", kLog);
  const nlohmann::ordered_json result = run_result(description(), folder / "log.jsonl", 100, false);
  EXPECT_EQ(result["processor"], "a processor");
  EXPECT_EQ(result["diverged"], false);
  EXPECT_EQ(result["seconds"], 10 * 100 / 500.0 + 10 * 100 / 1000.0);
  EXPECT_NEAR(result["images_per_second"].get<double>(), 2000 / 3.0, 1e-9);
  const nlohmann::ordered_json& last = result["final"];
  EXPECT_EQ(last["iteration"], 20);
  EXPECT_EQ(last["running_train"].dump(), R"({"loss":1.5,"top1_error":70.0,"top5_error":35.0})");
  EXPECT_EQ(last["clean_train"].dump(), R"({"images":50,"loss":1.4,"top1_error":68.0,"top5_error":34.0})");
  EXPECT_EQ(last["validation"]["top1_error"], 62.0) << "not the best one";
  EXPECT_EQ(last["test"]["top1_error"], 61.0);
  EXPECT_EQ(result["best"].dump(), R"({"iteration":10,"top1_error":60.0})");
  EXPECT_EQ(result["curves"]["running_train"].dump(),
            R"([{"iteration":10,"loss":2.0,"top1_error":80.0,"top5_error":40.0,"learning_rate":0.1},)"
            R"({"iteration":20,"loss":1.5,"top1_error":70.0,"top5_error":35.0,"learning_rate":0.01}])");
  EXPECT_EQ(result["curves"]["validation"].size(), 2U);
  EXPECT_EQ(result["curves"]["clean_train"][1]["loss"], 1.4);
}

TEST(RunResult, OfAnEmptyLogHasNoNumbers) {
  const TemporaryFolder folder;
  write_bytes(folder / "log.jsonl", "");
  const nlohmann::ordered_json result = run_result(description(), folder / "log.jsonl", 100, true);
  EXPECT_EQ(result["diverged"], true);
  EXPECT_EQ(result["final"]["iteration"], 0);
  EXPECT_TRUE(result["final"]["validation"].is_null() && result["best"].is_null() && result["images_per_second"].is_null());
}

/// Trains and returns result.json, or null where there is none.
nlohmann::json result_of(SmallRun& run, const std::string& folder, const std::sig_atomic_t& stop = kNeverStop) {
  Trainer& trainer = run.trainer();
  const RunDescription d = describe_run(run.settings, run.config, {.train = run.training, .validation = run.validation},
                                        run.network(), Device{}, DType::f32);
  try {
    train_with_result(trainer, run.folder(), d, stop);
  } catch (const Diverged&) {
  }
  const std::string file = folder + "/" + kResultFile;
  return std::filesystem::exists(file) ? nlohmann::json::parse(read_bytes(file)) : nlohmann::json();
}

TEST(RunResult, IsWrittenAtTheEndAlone) {
  const TemporaryFolder folder;
  SmallRun run(folder / "whole");
  const nlohmann::json result = result_of(run, folder / "whole");
  EXPECT_EQ(result["diverged"], false);
  EXPECT_EQ(result["final"]["iteration"], 6);
  EXPECT_EQ(result["final"]["validation"]["top1_error"], run.observer.validations.back().top1_error);
  EXPECT_EQ(result["curves"]["running_train"].size(), run.observer.steps.size());
  SmallRun stopped(folder / "stopped");
  const std::sig_atomic_t stop = 15;
  std::filesystem::create_directories(folder / "stopped");
  write_bytes(folder / "stopped/result.json", "of a run that diverged here");
  EXPECT_TRUE(result_of(stopped, folder / "stopped", stop).is_null());
  // What the run computes is known from its start on.
  nlohmann::json begun = nlohmann::json::parse(read_bytes(folder / "stopped/run.json"));
  EXPECT_EQ(begun["configuration"], result["configuration"]);
  EXPECT_EQ(begun["digest"], result["digest"]);
  EXPECT_EQ(begun["threads"], result["threads"]);
}

TEST(RunResult, ARunWhoseNumbersAreLostHasDiverged) {
  const TemporaryFolder folder;
  SmallRun run(folder.path());
  run.set("lr", {"1e9"}).set("weight-decay", {"1e9"});
  const nlohmann::json result = result_of(run, folder.path());
  ASSERT_FALSE(result.is_null());
  EXPECT_EQ(result["diverged"], true);
}

}  // namespace
}  // namespace residua::test
