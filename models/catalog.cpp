#include "models/catalog.h"

#include <algorithm>
#include <numeric>

namespace residua {
namespace {

CatalogEntry entry(std::string_view kind, ResNetSpec spec, std::string_view input) {
  const bool plain = spec.shortcut == Shortcut::none;
  spec.name = fmt::format("{}{}", kind, spec.depth());
  const std::string description =
      fmt::format("{} network of {} layers for {} images{}", plain ? "plain" : "residual", spec.depth(), input,
                  spec.block == BlockKind::bottleneck ? ", bottleneck blocks" : "");
  return {std::move(spec), description};
}

std::vector<CatalogEntry> build_catalog() {
  std::vector<CatalogEntry> entries;
  const auto add_imagenet = [&](Shortcut shortcut, BlockKind block, std::vector<int64_t> blocks) {
    entries.push_back(entry(shortcut == Shortcut::none ? "plain" : "resnet",
                            {.stem = Stem::imagenet, .block = block, .blocks = std::move(blocks), .shortcut = shortcut},
                            "ImageNet"));
  };
  const auto add_cifar = [&](Shortcut shortcut, int64_t n) {
    entries.push_back(entry(shortcut == Shortcut::none ? "plain" : "resnet",
                            {.stem = Stem::cifar, .blocks = {n, n, n}, .width = 16, .shortcut = shortcut, .classes = 10},
                            "CIFAR"));
  };
  add_imagenet(Shortcut::none, BlockKind::basic, {2, 2, 2, 2});
  add_imagenet(Shortcut::none, BlockKind::basic, {3, 4, 6, 3});
  add_imagenet(Shortcut::b, BlockKind::basic, {2, 2, 2, 2});
  add_imagenet(Shortcut::b, BlockKind::basic, {3, 4, 6, 3});
  add_imagenet(Shortcut::b, BlockKind::bottleneck, {3, 4, 6, 3});
  add_imagenet(Shortcut::b, BlockKind::bottleneck, {3, 4, 23, 3});
  add_imagenet(Shortcut::b, BlockKind::bottleneck, {3, 8, 36, 3});
  for (const int64_t n : {3, 5, 7, 9, 18}) {
    add_cifar(Shortcut::none, n);
  }
  for (const int64_t n : {3, 5, 7, 9, 18, 200}) {
    add_cifar(Shortcut::a, n);
  }
  return entries;
}

/// Levenshtein's.
int64_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<int64_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (const char c : a) {
    int64_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const int64_t replaced = diagonal + (c == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

const std::vector<CatalogEntry>& model_catalog() {
  static const std::vector<CatalogEntry> catalog = build_catalog();
  return catalog;
}

ResNetSpec model_spec(std::string_view name) {
  std::vector<std::pair<int64_t, std::string>> nearest;
  for (const CatalogEntry& candidate : model_catalog()) {
    if (candidate.spec.name == name) {
      return candidate.spec;
    }
    nearest.emplace_back(edit_distance(name, candidate.spec.name), candidate.spec.name);
  }
  std::ranges::stable_sort(nearest, {}, [](const auto& pair) { return pair.first; });
  fail_usage("unknown model '{}': did you mean {}, {} or {}? --list-models shows all", name, nearest[0].second,
             nearest[1].second, nearest[2].second);
}

void set_shortcut(ResNetSpec& spec, Shortcut shortcut) {
  if (spec.shortcut == Shortcut::none) {
    fail_usage("{} is a plain network: it has no shortcuts to choose; wanted a residual network with --shortcut", spec.name);
  }
  if (shortcut == Shortcut::none) {
    fail_usage("{} is a residual network: its shortcut is A, B or C; the network without shortcuts is called plain{}",
               spec.name, spec.depth());
  }
  spec.shortcut = shortcut;
}

}  // namespace residua
