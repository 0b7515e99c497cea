// What the ranks that verify a data set together tell each other.
#include "core/data/verify_ranks.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "core/data/digest.h"
#include "core/distributed/agreement.h"

namespace residua {

void check_same_images(Communicator& ranks, const Splits& splits, const std::vector<Finding>& unopened) {
  if (ranks.alone()) {
    return;
  }
  Fields fields;
  for (const Split split : {Split::train, Split::val}) {
    const std::string name = split == Split::train ? "training images" : "validation images";
    const auto found = std::ranges::find(splits, split, &Splits::value_type::first);
    fields.emplace_back(name, found == splits.end() ? "none" : set_digest(*found->second));
  }
  for (const Finding& finding : unopened) {
    fields.emplace_back(finding.subject, "cannot be opened");
  }
  check_agreement(ranks, "the data set", fields);
}

void share(Communicator& ranks, std::vector<Seen>& seen) {
  if (ranks.alone()) {
    return;
  }
  std::vector<int64_t> numbers;
  for (const Seen& s : seen) {
    for (const uint64_t number : {s.hash, s.bytes, uint64_t{s.readable}}) {
      numbers.push_back(static_cast<int64_t>(number));
    }
  }
  sum_values(ranks, numbers);
  for (size_t i = 0; i < seen.size(); ++i) {
    seen[i] = {.hash = static_cast<uint64_t>(numbers[3 * i]),
               .bytes = static_cast<uint64_t>(numbers[3 * i + 1]),
               .readable = numbers[3 * i + 2] != 0};
  }
}

void share(Communicator& ranks, std::vector<Found>& found) {
  if (ranks.alone()) {
    return;
  }
  nlohmann::json own = nlohmann::json::array();
  for (const auto& [finding, number] : found) {
    own.push_back({static_cast<int>(finding.kind), finding.subject, finding.detail, number});
  }
  found.clear();
  const std::vector<uint8_t> bytes = nlohmann::json::to_cbor(own);  // names need not be text
  for (const std::string& of_rank : ranks.gather({bytes.begin(), bytes.end()})) {
    for (const nlohmann::json& part : nlohmann::json::from_cbor(of_rank)) {
      const Finding finding{.kind = static_cast<FindingKind>(part[0].get<int>()),
                            .subject = part[1].get<std::string>(),
                            .detail = part[2].get<std::string>()};
      found.push_back({finding, part[3].get<int64_t>()});
    }
  }
}

}  // namespace residua
