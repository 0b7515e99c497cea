#include <algorithm>
#include <numeric>

#include "core/data/digest.h"
#include "core/data/verify.h"

namespace residua {

std::string_view meaning(FindingKind kind) {
  switch (kind) {
    case FindingKind::unopened: return "splits that cannot be opened";
    case FindingKind::unreadable: return "images that cannot be read or decoded";
    case FindingKind::damaged_file: return "shards that differ from their stored digest";
    case FindingKind::label_conflict: return "images whose bytes occur with another label";
    case FindingKind::overlap: return "validation images that are training images too";
    case FindingKind::empty_class: return "classes without a training image";
    case FindingKind::class_names: return "differences between the classes of training and validation images";
    case FindingKind::duplicate: return "images whose bytes occur before with the same label";
    case FindingKind::cmyk: return "CMYK JPEGs, converted to RGB without a color profile";
    case FindingKind::misnamed: return "images whose name tells another format than their contents";
    case FindingKind::tiny: return "tiny images";
  }
  return "";
}

Finding unopened_finding(Split split, const Error& error) {
  return {.kind = FindingKind::unopened, .subject = split == Split::train ? "train" : "val", .detail = error.what()};
}

bool is_harmful(FindingKind kind) { return kind <= FindingKind::class_names; }

int64_t VerifiedSplit::images() const { return std::accumulate(images_of_class.begin(), images_of_class.end(), int64_t{0}); }

bool Verification::sorted_classes() const { return std::ranges::is_sorted(class_names); }

bool Verification::harmful() const {
  return std::ranges::any_of(findings, [](const Finding& finding) { return is_harmful(finding.kind); });
}

nlohmann::json to_json(const Verification& verification) {
  std::string names;
  for (const std::string& name : verification.class_names) {
    names += name + "\n";
  }
  nlohmann::json json{{"format", 1},
                      {"complete", verification.complete},
                      {"good", verification.complete && !verification.harmful()},
                      {"classes", verification.class_names},
                      {"classes_digest", text_digest(names)},
                      {"classes_sorted", verification.sorted_classes()},
                      {"splits", nlohmann::json::object()},
                      {"counts", nlohmann::json::object()},
                      {"findings", nlohmann::json::array()}};
  for (const VerifiedSplit& split : verification.splits) {
    json["splits"][split.split == Split::train ? "train" : "val"] = {
        {"images", split.images()}, {"images_of_class", split.images_of_class}, {"notes", split.notes}};
  }
  for (const auto& [kind, text] : kEnumText<FindingKind>) {
    json["counts"][std::string(text)] =
        std::ranges::count_if(verification.findings, [k = kind](const Finding& finding) { return finding.kind == k; });
  }
  for (const Finding& finding : verification.findings) {
    json["findings"].push_back({{"kind", to_text(finding.kind)},
                                {"harmful", is_harmful(finding.kind)},
                                {"subject", finding.subject},
                                {"detail", finding.detail}});
  }
  return json;
}

}  // namespace residua
