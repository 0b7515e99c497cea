#include "core/distributed/agreement.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/join.h"

namespace residua {
namespace {

using Ranks = std::vector<std::string>;

/// "128 (rank 0, 2), 64 (rank 1)".
std::string who_has_what(const std::vector<std::string>& values) {
  std::vector<std::string> order;
  std::map<std::string, Ranks> ranks;
  for (size_t rank = 0; rank < values.size(); ++rank) {
    if (!ranks.contains(values[rank])) {
      order.push_back(values[rank]);
    }
    ranks[values[rank]].push_back(std::to_string(rank));
  }
  std::vector<std::string> parts;
  for (const std::string& value : order) {
    parts.push_back(fmt::format("{} (rank {})", value.empty() ? "unset" : value, join(ranks[value], ", ")));
  }
  return join(parts, ", ");
}

}  // namespace

void check_agreement(Communicator& communicator, const std::string& what, const Fields& fields) {
  if (communicator.alone()) {
    return;
  }
  const nlohmann::json own = fields;
  std::vector<std::map<std::string, std::string>> of_ranks;
  std::vector<std::string> names;  // in the order of the first rank that has them
  std::set<std::string> known;
  for (const std::string& text : communicator.gather(own.dump())) {
    of_ranks.emplace_back();
    for (auto& [name, value] : nlohmann::json::parse(text).get<Fields>()) {
      if (known.insert(name).second) {
        names.push_back(name);
      }
      of_ranks.back()[name] = value;
    }
  }
  std::vector<std::string> differences;
  for (const std::string& name : names) {
    std::vector<std::string> values;
    for (auto& fields_of_rank : of_ranks) {
      values.push_back(fields_of_rank[name]);
    }
    if (std::set(values.begin(), values.end()).size() > 1) {
      differences.push_back(fmt::format("{}: {}", name, who_has_what(values)));
    }
  }
  if (!differences.empty()) {
    throw Disagreement(fmt::format("the ranks differ in {}: {}; start all ranks with the same", what, join(differences, "; ")));
  }
}

}  // namespace residua
