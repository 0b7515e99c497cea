#include "core/nn/module.h"

namespace residua {

/// Calls f(module, full name), parents first.
template <class Visit>
void Module::visit(const std::string& prefix, const Visit& f) {
  f(*this, prefix);
  for (auto& [name, child] : children_) {
    child->visit(prefix.empty() ? name : prefix + "." + name, f);
  }
}

std::vector<Parameter*> Module::parameters() {
  std::vector<Parameter*> found;
  visit("", [&](Module& module, const std::string& prefix) {
    for (auto& [name, parameter] : module.parameters_) {
      parameter->name = prefix.empty() ? name : prefix + "." + name;
      found.push_back(parameter);
    }
  });
  return found;
}

std::vector<RunningStatistics*> Module::statistics() {
  std::vector<RunningStatistics*> found;
  visit("", [&](Module& module, const std::string& prefix) {
    for (RunningStatistics* statistics : module.statistics_) {
      statistics->name = prefix;
      found.push_back(statistics);
    }
  });
  return found;
}

}  // namespace residua
