// The cache of timed plans.
#include "cuda/libraries/plan_cache.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

const RegisterFuzzTarget kTarget("plans", [](std::span<const uint8_t> bytes) {
  const std::string path = fuzz_file("plans.json", bytes);
  cuda::PlanCache cache(path, "device");
  cache.find("work");
  cache.rejection_reason("work", "plan");
  cache.put("other work", {.name = "plan", .milliseconds = {{"plan", 1.5}}});
  cache.save();
  require(cuda::PlanCache(path, "device").find("other work").has_value(), "a choice that was saved is not there");
});

}  // namespace
}  // namespace residua::test
