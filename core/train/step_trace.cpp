#include "core/train/step_trace.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/warning.h"
#include "core/io/atomic_file.h"

namespace residua {

void StepTrace::before_step() {
  if (path_.empty()) {
    return;
  }
  if (steps_ == kFirst) {
    timeline_.start();
  } else if (steps_ == kFirst + kSteps) {
    finish();
  }
  ++steps_;
}

void StepTrace::finish() {
  if (path_.empty()) {
    return;
  }
  timeline_.stop();
  if (steps_ <= kFirst && ranks_.leads()) {
    warn("the run has ended after {} steps, so --trace has recorded none: it begins after {}", steps_, kFirst);
  }
  const std::string path = std::exchange(path_, {});
  nlohmann::json all = nlohmann::json::array();
  for (const std::string& text : ranks_.gather(timeline_.events(ranks_.rank()).dump())) {
    const nlohmann::json events = nlohmann::json::parse(text);
    all.insert(all.end(), events.begin(), events.end());
  }
  for (int64_t rank = 0; rank < ranks_.world(); ++rank) {
    all.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", rank}, {"args", {{"name", fmt::format("rank {}", rank)}}}});
  }
  if (ranks_.leads()) {
    atomic_write(path, nlohmann::json{{"traceEvents", std::move(all)}}.dump() + "\n");
  }
}

}  // namespace residua
