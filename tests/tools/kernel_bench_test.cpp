#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/contracts.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class KernelBench : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(RESIDUA_BINARY_DIR "/kernel-bench")) {
      GTEST_SKIP() << "this build has no benchmarks";
    }
  }
  /// Runs a command of the build or source tree in the folder; returns its exit code. Its output goes into `out`.
  int run(const std::string& command) {
    const int status = std::system(("cd " + folder_.path() + " && " + command + " > out 2>&1").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  int kernel_bench(const std::string& arguments) {
    return run(RESIDUA_BINARY_DIR "/kernel-bench --device cpu --precision bf16 -b 1 --seconds 0 " + arguments);
  }
  std::string out() { return read_bytes(folder_ / "out"); }
  nlohmann::json report() { return nlohmann::json::parse(read_bytes(folder_ / "report.json")); }
  void write_baseline(const nlohmann::json& baseline) { write_bytes(folder_ / "baseline.json", baseline.dump()); }

  TemporaryFolder folder_;
};

TEST_F(KernelBench, HasEveryContract) {
  ASSERT_EQ(kernel_bench("--list"), 0) << out();
  std::set<std::string> measured;
  std::istringstream lines(out());
  for (std::string line; std::getline(lines, line);) {
    measured.insert(line.substr(0, line.find(' ')));
  }
  std::set<std::string> contracts = declared_contracts();
  ASSERT_EQ(contracts.erase("ActivationPlacement"), 1) << "the one that asks a question and computes nothing";
  for (const std::string& contract : contracts) {
    EXPECT_TRUE(measured.contains(contract)) << "no case in bench/kernels measures " << contract;
  }
}

TEST_F(KernelBench, CountsEachTensorOnce) {
  ASSERT_EQ(kernel_bench("--only '^(Add|BatchNormApply add relu) 1x56x56x64' --json report.json"), 0) << out();
  constexpr double kSize = 56 * 56 * 64;
  ASSERT_EQ(report()["rows"].size(), 2);
  EXPECT_EQ(report()["rows"][0]["bytes"], 3 * 2 * kSize);
  EXPECT_EQ(report()["rows"][1]["bytes"], 3 * 2 * kSize + kSize / 8 + 4 * 4 * 64);
  EXPECT_TRUE(report()["rows"][1].contains("unfused_median_us"));
  EXPECT_GT(report()["rows"][0]["share_of_copy"], 0);
}

TEST_F(KernelBench, KeepsTheOthersFiguresWhenOneCaseFails) {
  // The second has no room in any memory: 430 TB a tensor.
  ASSERT_EQ(run(RESIDUA_BINARY_DIR "/kernel-bench --device cpu --precision bf16 -b 1073741824 --seconds 0 "
                                   "--only '^(SgdUpdate|Add) ' --json report.json"),
            1)
      << out();
  EXPECT_THAT(out(), HasSubstr("measurements failed"));
  EXPECT_EQ(report()["failures"][0]["kernel"], "Add");
  EXPECT_THAT(report()["failures"][0]["message"].get<std::string>(), HasSubstr("memory"));
  ASSERT_GT(report()["rows"].size(), 0);
  EXPECT_TRUE(report()["rows"][0].contains("unfused_median_us")) << "in 16 bits the update is fused with a cast";
}

TEST_F(KernelBench, ComparesWithABaseline) {
  const std::string add = "--only '^Add' --threshold 50% --compare baseline.json --json report.json";
  EXPECT_EQ(kernel_bench(add), 2);
  EXPECT_THAT(out(), HasSubstr("cannot read baseline.json"));
  ASSERT_EQ(kernel_bench("--only '^Add' --json report.json"), 0) << out();
  nlohmann::json baseline = report();

  baseline["rows"][0]["median_us"] = 1e9;
  write_baseline(baseline);
  EXPECT_EQ(kernel_bench(add), 0) << out();
  EXPECT_THAT(out(), HasSubstr("0 of 1 rows"));

  baseline["rows"][0]["median_us"] = 1e-3;
  write_baseline(baseline);
  EXPECT_EQ(kernel_bench(add), 1);
  EXPECT_THAT(out(), HasSubstr("slower: Add 1x56x56x64 bf16"));

  baseline["rows"][0]["shape"] = "another";
  write_baseline(baseline);
  EXPECT_EQ(kernel_bench(add), 0);
  EXPECT_THAT(out(), HasSubstr("not in the baseline: Add 1x56x56x64 bf16"));

  baseline["device"] = "another";
  write_baseline(baseline);
  EXPECT_EQ(kernel_bench(add), 2);
  EXPECT_THAT(out(), HasSubstr("its device is \"another\""));
}

TEST_F(KernelBench, AWrongCallIsOneLine) {
  for (const char* arguments :
       {"--only nothing_has_this_name", "--only '['", "--threshold soon", "--threshold -1", "--precision fp8"}) {
    EXPECT_EQ(kernel_bench(arguments), 2) << arguments;
    EXPECT_THAT(out(), StartsWith("kernel-bench: ")) << arguments;
  }
}

TEST_F(KernelBench, ItsReportCanBeDrawn) {
  if (std::system("/usr/bin/python3 -c 'import matplotlib' 2>/dev/null") != 0) {
    GTEST_SKIP() << "the system's python3 has no matplotlib";
  }
  ASSERT_EQ(kernel_bench("--only '^(Add|ReluForward|Matmul forward)' --json report.json"), 0) << out();
  const std::string plot = "MPLCONFIGDIR=. " RESIDUA_SOURCE_DIR "/tools/plot-kernels ";
  ASSERT_EQ(run(plot + "report.json -o chart.svg"), 0) << out();
  // Text becomes paths, before which matplotlib writes it as a comment.
  const std::string svg = read_bytes(folder_ / "chart.svg");
  EXPECT_THAT(svg, HasSubstr("ReluForward"));
  EXPECT_THAT(svg, HasSubstr("1x56x56x64"));
  EXPECT_EQ(svg.find("Matmul"), std::string::npos) << "memory does not bound it";
  ASSERT_EQ(run(plot + "report.json"), 0) << out();
  EXPECT_THAT(read_bytes(folder_ / "report.png"), StartsWith("\x89PNG"));
  EXPECT_EQ(run(plot + "report.json --type f16 -o chart.png"), 2);
  EXPECT_THAT(out(), HasSubstr("no memory-bound rows of type f16: it has bf16"));
  write_bytes(folder_ / "report.json", "{}");
  EXPECT_EQ(run(plot + "report.json -o chart.png"), 2);
  EXPECT_THAT(out(), HasSubstr("is not a kernel-bench --json report"));
}

}  // namespace
}  // namespace residua::test
