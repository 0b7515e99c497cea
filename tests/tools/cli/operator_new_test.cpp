// The host's memory that runs out at any large request of a run costs no more than the run. Small ones are left out: the C++
// library and nlohmann-json make them in places where none may fail, and end the program.
#include "tools/cli/operator_new.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <set>
#include <string>

#include "core/base/error.h"
#include "core/device/device_api.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"
#include "tools/cli/run_program.h"

namespace residua::test {
namespace {

constexpr size_t kLarge = 16384;
std::atomic<int64_t> requests = 0;  // large ones
std::atomic<int64_t> every = INT64_MAX;

/// Whether this is inside a parallel region of oneDNN, which ends the program if a request fails there.
bool in_threads_of_onednn() noexcept {
  std::array<void*, 64> frames{};
  const int count = ::backtrace(frames.data(), frames.size());
  bool onednn = false;
  bool openmp = false;
  for (int i = 0; i < count; ++i) {
    Dl_info info{};
    if (::dladdr(frames[i], &info) != 0 && info.dli_fname != nullptr) {
      onednn = onednn || std::strstr(info.dli_fname, "libdnnl") != nullptr;
      openmp = openmp || std::strstr(info.dli_fname, "libgomp") != nullptr;
    }
  }
  return onednn && openmp;
}

/// Refuses each large request whose number is a multiple of `every`, counted from 1, as long as it exists.
class Refusals {
 public:
  explicit Refusals(int64_t k) {
    in_threads_of_onednn();  // the first call loads a library
    requests = 0;
    every = k;
    set_new_fault([](size_t bytes) noexcept { return bytes >= kLarge && ++requests % every == 0 && !in_threads_of_onednn(); });
  }
  ~Refusals() { set_new_fault(nullptr); }
  Refusals(const Refusals&) = delete;
  Refusals& operator=(const Refusals&) = delete;
};

struct Outcome {
  std::string weights;
  bool out_of_memory = false;
  std::string other;  // an error of another kind
};

Outcome run_refusing(int64_t k) {
  const TemporaryFolder folder;
  Outcome outcome;
  SmallRun run(folder.path());
  run.set("iterations", {"2"}).set("evaluate-every", {"0.5"}).set("workers", {"2"});
  run.network();
  try {
    const Refusals refusals(k);
    run.train();
  } catch (const OutOfMemory&) {
    outcome.out_of_memory = true;
  } catch (const std::bad_alloc&) {
    outcome.out_of_memory = true;
  } catch (const std::exception& error) {
    outcome.out_of_memory = std::strstr(error.what(), "out of memory") != nullptr;  // the last save's
    outcome.other = outcome.out_of_memory ? "" : error.what();
  }
  if (!outcome.out_of_memory && outcome.other.empty()) {
    outcome.weights = read_bytes(folder / kLastFile);
  }
  return outcome;
}

TEST(OperatorNew, EachLargeRequestThatFailsEndsTheRunAndNoMore) {
  const Outcome wanted = run_refusing(INT64_MAX);
  const int64_t all = requests;
  ASSERT_NE(wanted.weights, "");
  ASSERT_GT(all, 50);
  const int64_t before = device_api::memory_use(Device{}).live_bytes;
  std::set<int64_t> numbers = {all, 2 * all};
  for (int64_t k = 1; k < all; k += 1 + k / 16) {
    numbers.insert(k);
  }
  int64_t failed = 0;
  for (const int64_t k : numbers) {
    const Outcome outcome = run_refusing(k);
    EXPECT_EQ(outcome.other, "") << "request " << k;
    failed += outcome.out_of_memory ? 1 : 0;
    if (!outcome.out_of_memory) {
      EXPECT_TRUE(outcome.weights == wanted.weights) << "request " << k << ", " << outcome.other;
    }
    EXPECT_EQ(device_api::memory_use(Device{}).live_bytes, before) << "request " << k;
  }
  EXPECT_GT(failed, 20);
  RecordProperty("requests", static_cast<int>(all));
  RecordProperty("faults", static_cast<int>(failed));
  EXPECT_TRUE(run_refusing(INT64_MAX).weights == wanted.weights);
}

TEST(OperatorNew, ARequestThatFailsIsALineWithItsSize) {
  testing::internal::CaptureStderr();
  const int code = run_program(
      "program",
      []() -> int {
        const Refusals refusals(1);
        const std::string text(size_t{5} << 20, 'x');
        return static_cast<int>(text.size());
      },
      [](const UsageError&) { return std::string(); });
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(code, 1);
  EXPECT_TRUE(line.starts_with("program: out of memory on the host: 6 MiB wanted, ")) << line;
  EXPECT_NE(line.find(" MiB in use by this program"), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
}

TEST(OperatorNew, AlignsAsWanted) {
  struct alignas(256) Wide {
    char bytes[300];
  };
  for (int i = 0; i < 10; ++i) {
    const auto wide = std::make_unique<Wide>();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(wide.get()) % 256, 0U);
    const auto several = std::make_unique<Wide[]>(3);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(several.get()) % 256, 0U);
  }
}

}  // namespace
}  // namespace residua::test
