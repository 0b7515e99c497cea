// The log of a run that goes on.
#include <nlohmann/json.hpp>

#include "core/run/event_log.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

const RegisterFuzzTarget kTarget("event_log", [](std::span<const uint8_t> bytes) {
  EventLog log = EventLog::resume(fuzz_file("log.jsonl", bytes), {.iteration = 5});
  log.write({{"type", "note"}, {"iteration", 6}});
});

}  // namespace
}  // namespace residua::test
