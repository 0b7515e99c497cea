#include "cuda/libraries/plan_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using namespace cuda;

Choice some_choice(const std::string& name) { return {name, {{"slow", 2.5}, {name, 1.25}}, "another is not supported"}; }

void put_and_save(const std::string& path, const std::string& device, const std::string& key, const Choice& choice) {
  PlanCache cache(path, device);
  cache.put(key, choice);
  cache.save();
}

TEST(PlanCache, KeepsChoicesForTheNextProcess) {
  const TemporaryFolder folder;
  const std::string path = folder / "a/b/plans.json";
  put_and_save(path, "GPU 1", "conv", some_choice("fast"));
  const auto found = PlanCache(path, "GPU 1").find("conv");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "fast");
  EXPECT_EQ(found->milliseconds, some_choice("fast").milliseconds);
  EXPECT_EQ(found->rejection_reason, some_choice("fast").rejection_reason);
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
  for (PlanCache* cache : {&first, &second, &other}) {
    cache->save();
  }
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
    cache.save();
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
    { const Trial trial(cache, "y", "b", Durability::machine); }
    cache.reject("y", "b", "a fault");
    cache.save();
    EXPECT_EQ(cache.find("x")->name, "a");
    EXPECT_EQ(cache.rejection_reason("y", "b"), "a fault");
  }
}

TEST(PlanCache, IsWrittenOnceAtTheEndOfAPass) {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  PlanCache cache(path, "GPU 1");
  cache.put("x", some_choice("a"));
  cache.put("y", some_choice("b"));
  EXPECT_FALSE(std::filesystem::exists(path)) << "the pass goes on";
  cache.save();
  EXPECT_EQ(PlanCache(path, "GPU 1").find("y")->name, "b");
  std::filesystem::remove(path);
  cache.save();
  EXPECT_FALSE(std::filesystem::exists(path)) << "nothing is new";
}

TEST(PlanCache, KeepsChoicesOfOtherOptionsApart) {
  const device_api::PlanOptions all[] = {
      {}, {.nondeterministic = true}, {.runtime_compilation = true}, {.nondeterministic = true, .runtime_compilation = true}};
  std::set<std::string> names;
  for (const device_api::PlanOptions& options : all) {
    names.insert(plan_cache_device("GPU 1", options));
  }
  EXPECT_EQ(names.size(), 4);
  EXPECT_TRUE(names.contains("GPU 1")) << "what default options have chosen before stays valid";
}

TEST(PlanCache, KeepsRejectionsForTheNextProcess) {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  PlanCache earlier(path, "GPU 1");
  PlanCache(path, "GPU 1").reject("x", "a", "illegal address");
  EXPECT_EQ(PlanCache(path, "GPU 1").rejection_reason("x", "a"), "illegal address");
  EXPECT_EQ(PlanCache(path, "GPU 1").rejection_reason("x", "b"), "");
  EXPECT_EQ(PlanCache(path, "GPU 2").rejection_reason("x", "a"), "");
  earlier.put("x", some_choice("b"));
  earlier.save();
  EXPECT_EQ(PlanCache(path, "GPU 1").rejection_reason("x", "a"), "illegal address") << "others write beside it";
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
}  // namespace residua::test
