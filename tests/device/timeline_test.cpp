#include "core/device/timeline.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "core/ops/add.h"
#include "core/tensor/tensor.h"

namespace residua::test {
namespace {

TEST(Timeline, HasTheSpansOfAllThreadsWhileItRecords) {
  profile::Timeline timeline;
  { const profile::Span before("before"); }
  timeline.start();
  {
    const profile::Span outer("outer", "7");
    std::thread([] { const profile::Span span("elsewhere"); }).join();
    add(zeros({8}, DType::f32), zeros({8}, DType::f32));
  }
  timeline.stop();
  { const profile::Span after("after"); }

  const nlohmann::json events = timeline.events(3);
  std::map<std::string, nlohmann::json> by_name;
  for (const auto& event : events) {
    EXPECT_EQ(event["ph"], "X");
    EXPECT_EQ(event["pid"], 3);
    EXPECT_GE(event["dur"].get<double>(), 0);
    by_name[event["name"]] = event;
  }
  EXPECT_FALSE(by_name.contains("before") || by_name.contains("after"));
  ASSERT_TRUE(by_name.contains("outer") && by_name.contains("elsewhere") && by_name.contains("Add"));
  const nlohmann::json& outer = by_name["outer"];
  EXPECT_EQ(outer["args"]["about"], "7");
  EXPECT_EQ(by_name["Add"]["tid"], outer["tid"]) << "kernels belong to the thread that runs them";
  EXPECT_NE(by_name["elsewhere"]["tid"], outer["tid"]);
  for (const char* inner : {"elsewhere", "Add"}) {
    EXPECT_GE(by_name[inner]["ts"].get<double>(), outer["ts"].get<double>());
    EXPECT_LE(by_name[inner]["ts"].get<double>() + by_name[inner]["dur"].get<double>(),
              outer["ts"].get<double>() + outer["dur"].get<double>());
  }
}

}  // namespace
}  // namespace residua::test
