// The seeds of the fuzz targets, without a fuzzer: no target is broken, and no finding comes back.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <ranges>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;

class FuzzCorpus : public testing::TestWithParam<std::string> {};

TEST_P(FuzzCorpus, EverySeedIsReadOrRefused) {
  const FuzzTarget target = fuzz_targets().at(GetParam());
  int seeds = 0;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(fs::path(RESIDUA_SOURCE_DIR) / "tests/fuzz/corpus" / GetParam())) {
    SCOPED_TRACE(entry.path().string());
    const std::string bytes = read_bytes(entry.path().string());
    run(target, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    // And cut, as by a full disk.
    run(target, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size() / 2});
    ++seeds;
  }
  EXPECT_GT(seeds, 0);
}

std::vector<std::string> target_names() {
  std::vector<std::string> names;
  std::ranges::copy(std::views::keys(fuzz_targets()), std::back_inserter(names));
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, FuzzCorpus, testing::ValuesIn(target_names()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace residua::test
