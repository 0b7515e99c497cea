#include "core/autograd/trace.h"

#include <algorithm>

#include "core/device/profile.h"

namespace residua {
namespace {

thread_local Trace* active = nullptr;

}  // namespace

double TracedOp::option(std::string_view option_name) const {
  const auto found = std::ranges::find(options, option_name, &TracedOption::name);
  if (found == options.end()) {
    fail("the operation {} has no option {}", name, option_name);
  }
  return found->value;
}

Trace::Trace() {
  if (active != nullptr) {
    fail("a trace is active already: traces do not nest");
  }
  active = this;
}

Trace::~Trace() { active = nullptr; }

void trace(std::string_view name, std::initializer_list<Tensor> inputs, const Tensor& output,
           std::initializer_list<TracedOption> options) {
  if (active != nullptr) {
    active->ops_.push_back({.name = name,
                            .layer = std::string(profile::layer()),
                            .inputs = inputs,
                            .output = output.detached(),
                            .options = options});
  }
}

}  // namespace residua
