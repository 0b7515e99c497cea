#include "cuda/libraries/plan_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace residua::cuda {
namespace {

using residua::test::TemporaryFolder;
using residua::test::write_bytes;

Choice some_choice(const std::string& name) { return {name, {{"slow", 2.5}, {name, 1.25}}, "another is not supported"}; }

TEST(PlanCache, KeepsChoicesForTheNextProcess) {
  const TemporaryFolder folder;
  const std::string path = folder / "a/b/plans.json";
  PlanCache(path, "GPU 1").put("conv", some_choice("fast"));
  const auto found = PlanCache(path, "GPU 1").find("conv");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "fast");
  EXPECT_EQ(found->milliseconds, some_choice("fast").milliseconds);
  EXPECT_EQ(found->refusal, some_choice("fast").refusal);
  EXPECT_FALSE(PlanCache(path, "GPU 1").find("another"));
  EXPECT_FALSE(PlanCache(path, "GPU 1, another cuDNN").find("conv")) << "a choice holds for one device and version";
}

TEST(PlanCache, AddsToWhatOthersHaveWritten) {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  PlanCache first(path, "GPU 1");
  PlanCache second(path, "GPU 1");
  PlanCache other(path, "GPU 2");
  first.put("x", some_choice("a"));
  second.put("y", some_choice("b"));
  other.put("x", some_choice("c"));
  const PlanCache now(path, "GPU 1");
  EXPECT_EQ(now.find("x")->name, "a");
  EXPECT_EQ(now.find("y")->name, "b");
  EXPECT_EQ(PlanCache(path, "GPU 2").find("x")->name, "c");
}

TEST(PlanCache, SurvivesADamagedFile) {
  for (const char* content :
       {"", "{", "[]", "null", "17", R"({"format": 1, "devices": {}})", R"({"format": 2})", R"({"format": "1", "devices": {}})",
        R"({"format": 2, "devices": []})", R"({"format": 2, "devices": {"GPU 1": 3}})",
        R"({"format": 2, "devices": {"GPU 1": {"x": null}}})", R"({"format": 2, "devices": {"GPU 1": {"x": {"choice": 1}}}})",
        R"({"format": 2, "devices": {"GPU 1": {"x": {"choice": "a", "ways": [["b"]]}}}})",
        R"({"format": 2, "devices": {"GPU 1": {"x": {"choice": "a", "ways": [["b", "c"]]}}}})", "\xff\xfe\0garbage"}) {
    SCOPED_TRACE(content);
    const TemporaryFolder folder;
    const std::string path = folder / "plans.json";
    write_bytes(path, content);
    PlanCache cache(path, "GPU 1");
    EXPECT_FALSE(cache.find("x"));
    cache.put("x", some_choice("new"));
    EXPECT_EQ(PlanCache(path, "GPU 1").find("x")->name, "new");
  }
}

TEST(PlanCache, KeepsTheEntriesBesideADamagedOne) {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  write_bytes(path, R"({"format": 2, "devices": {"GPU 1": {"bad": 1, "good": {"choice": "a", "ways": [], "refusal": ""}}}})");
  const PlanCache cache(path, "GPU 1");
  EXPECT_FALSE(cache.find("bad"));
  EXPECT_EQ(cache.find("good")->name, "a");
}

TEST(PlanCache, WorksWhereNothingCanBeWritten) {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "");
  for (const std::string& path : {std::string(), folder / "file/plans.json"}) {
    PlanCache cache(path, "GPU 1");
    cache.put("x", some_choice("a"));
    EXPECT_EQ(cache.find("x")->name, "a");
  }
}

TEST(PlanCache, IsAFileOfTheUsersCache) {
  const TemporaryFolder folder;
  ASSERT_EQ(::setenv("XDG_CACHE_HOME", folder.path().c_str(), 1), 0);
  EXPECT_EQ(PlanCache::default_path(), folder / "residua/plans.json");
  ASSERT_EQ(::setenv("XDG_CACHE_HOME", "not/absolute", 1), 0);
  ASSERT_EQ(::setenv("HOME", folder.path().c_str(), 1), 0);
  EXPECT_EQ(PlanCache::default_path(), folder / ".cache/residua/plans.json");
  ASSERT_EQ(::unsetenv("XDG_CACHE_HOME"), 0);
  ASSERT_EQ(::unsetenv("HOME"), 0);
  EXPECT_EQ(PlanCache::default_path(), "");
}

}  // namespace
}  // namespace residua::cuda
