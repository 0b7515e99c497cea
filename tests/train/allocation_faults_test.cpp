// Memory that runs out at any request of a run costs no more than the run: no leak, and the next run is as good as the first.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/device/allocation_fault.h"
#include "core/device/device_api.h"
#include "tests/data/synthetic_source.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

/// The devices of this build.
std::vector<Device> devices() {
#ifdef RESIDUA_HOST_CUDA
  return {Device{Device::Type::cuda, 0}};
#else
  return {Device{}};
#endif
}

/// Refuses each request whose number is a multiple of `every`, counted from 1, as long as it exists.
class Refusals {
 public:
  Refusals(Device device, int64_t every) : device_(device), every_(every) {
    device_api::set_allocation_fault(device_, [this](int64_t, int64_t) { return ++requests_ % every_ == 0; });
  }
  ~Refusals() { device_api::set_allocation_fault(device_, {}); }
  Refusals(const Refusals&) = delete;
  Refusals& operator=(const Refusals&) = delete;

  int64_t requests() const { return requests_; }

 private:
  const Device device_;
  const int64_t every_;
  int64_t requests_ = 0;
};

/// The weights of a run of two steps and a validation, or the error that it ended with.
struct Outcome {
  std::string weights;
  std::string error;
};

Outcome run_on(Device device) {
  const TemporaryFolder folder;
  Outcome outcome;
  try {
    SmallRun run(folder.path());
    run.set("device", {device.string()}).set("iterations", {"2"}).set("evaluate-every", {"0.5"});
    if (device.type == Device::Type::cuda) {
      run.set("crop-size", {"8"}).set("batch-size", {"4"});
      run.validation = run.training = open_synthetic(Split::train, {.image_size = 8, .classes = 4, .images = 16, .seed = 1});
    }
    run.train();
    outcome.weights = read_bytes(folder / kLastFile);
  } catch (const OutOfMemory& error) {
    outcome.error = error.what();
  }
  return outcome;
}

/// All of the first requests, ever fewer of the later ones, and the last.
std::set<int64_t> sampled(int64_t requests, int64_t each) {
  std::set<int64_t> numbers = {requests - 1, requests, requests + 1};
  for (int64_t k = 1; k <= requests; k += std::max<int64_t>(1, k / each)) {
    numbers.insert(k);
  }
  return numbers;
}

TEST(AllocationFaults, EachEndsTheRunAndNoMore) {
  for (const Device device : devices()) {
    run_on(device);  // what is made once and kept
    const int64_t before = device_api::memory_use(device).live_bytes;
    const int64_t before_on_host = device_api::memory_use(Device{}).live_bytes;
    int64_t requests = 0;
    Outcome wanted;
    {
      const Refusals counted(device, INT64_MAX);
      wanted = run_on(device);
      requests = counted.requests();
    }
    ASSERT_EQ(wanted.error, "");
    ASSERT_GT(requests, 100);
    int64_t failed = 0;
    for (const int64_t k : sampled(requests, device.type == Device::Type::cuda ? 3 : 12)) {
      Outcome outcome;
      {
        const Refusals refusals(device, k);
        outcome = run_on(device);
      }
      if (k > requests) {
        EXPECT_EQ(outcome.error, "");
      }
      if (outcome.error.empty()) {
        EXPECT_TRUE(outcome.weights == wanted.weights) << "request " << k;
      } else {
        ++failed;
        EXPECT_NE(outcome.error.find("MiB wanted"), std::string::npos) << outcome.error;
      }
      EXPECT_EQ(device_api::memory_use(device).live_bytes, before) << "request " << k << " of " << requests;
      EXPECT_EQ(device_api::memory_use(Device{}).live_bytes, before_on_host) << "request " << k;
    }
    EXPECT_GT(failed, 10);
    RecordProperty("requests", static_cast<int>(requests));
    RecordProperty("faults", static_cast<int>(failed));
    const Outcome after = run_on(device);
    EXPECT_EQ(after.error, "");
    EXPECT_TRUE(after.weights == wanted.weights);
  }
}

/// The digits behind `words` in a text; empty if it has no such words.
std::string number_after(const std::string& words, const std::string& text) {
  const size_t found = text.find(words);
  const size_t first = found == std::string::npos ? text.size() : found + words.size();
  return text.substr(first, text.find_first_not_of("0123456789", first) - first);
}

struct Step {
  std::string error;  // empty if it has none
  int64_t peak_bytes = 0;
};

/// A run of one step on a device that has so much memory.
Step step_on(Device device, const std::string& batch_size, const std::string& passes, int64_t memory_bytes) {
  const TemporaryFolder folder;
  const int64_t side = device.type == Device::Type::cuda ? 8 : 16;
  SmallRun run(folder.path());
  run.set("device", {device.string()}).set("crop-size", {std::to_string(side)}).set("iterations", {"1"});
  run.set("batch-size", {batch_size}).set("accumulate", {passes});
  run.training = open_synthetic(Split::train, {.image_size = side, .classes = 4, .images = 48, .seed = 1});
  run.validates = false;
  Trainer& trainer = run.trainer();
  Step step;
  device_api::set_allocation_fault(device, [&](int64_t bytes, int64_t live_bytes) {
    step.peak_bytes = std::max(step.peak_bytes, live_bytes + bytes);
    return live_bytes + bytes > memory_bytes;
  });
  try {
    trainer.train(kNeverStop);
  } catch (const OutOfMemory& failure) {
    step.error = failure.what();
  }
  device_api::set_allocation_fault(device, {});
  return step;
}

TEST(AllocationFaults, ABatchThatIsTooLargeIsToldOneThatFits) {
  for (const Device device : devices()) {
    const int64_t one = step_on(device, "1", "1", INT64_MAX).peak_bytes;
    const int64_t all = step_on(device, "48", "1", INT64_MAX).peak_bytes;
    const int64_t room = one + (all - one) * 3 / 4;
    const std::string error = step_on(device, "48", "1", room).error;
    EXPECT_TRUE(error.starts_with("out of memory on " + device.string() + ": ")) << error;
    const std::string fits = number_after(": a pass of about ", error);
    const std::string batch = number_after(" images fits; set batch-size to ", error);
    const std::string passes = number_after(", or accumulate to ", error);
    ASSERT_TRUE(!fits.empty() && !batch.empty() && !passes.empty()) << error;
    EXPECT_EQ(batch, fits);
    EXPECT_GE(std::stoi(fits), 12) << "of 48, where about 36 fit";
    EXPECT_EQ(step_on(device, batch, "1", room).error, "");
    EXPECT_EQ(step_on(device, "48", passes, room).error, "");
    EXPECT_NE(step_on(device, "48", "2", one / 2).error.find("not even one image fits"), std::string::npos);
  }
}

}  // namespace
}  // namespace residua::test
