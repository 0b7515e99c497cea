#include "models/catalog.h"

#include <algorithm>
#include <iterator>

#include "core/base/join.h"
#include "core/base/registry.h"

namespace residua {
namespace {

std::unique_ptr<ModelFamily> fresh_family(const std::string& name) {
  const auto& entries = Registry<ModelFamily>::entries();
  return std::ranges::find(entries, name, &Registry<ModelFamily>::Entry::name)->make();
}

std::vector<CatalogEntry> build_catalog() {
  std::vector<CatalogEntry> all;
  for (const auto& entry : Registry<ModelFamily>::entries()) {
    for (ModelInfo& model : entry.make()->models()) {
      const auto same = std::ranges::find(all, model.name, [](const CatalogEntry& e) { return e.model.name; });
      if (same != all.end()) {
        fail("the families {} and {} both have a model named {}", same->family, entry.name, model.name);
      }
      all.push_back({.model = std::move(model), .family = std::string(entry.name)});
    }
  }
  return all;
}

/// Known model names similar to an unknown one, nearest first.
std::string nearest_models(const std::string& name) {
  std::vector<std::string> names;
  for (const CatalogEntry& entry : model_catalog()) {
    names.push_back(entry.model.name);
  }
  std::vector<std::string> nearest;
  for (int i = 0; i < 3; ++i) {
    const std::string next = nearest_name(name, names);
    if (next.empty()) {
      break;
    }
    nearest.push_back(next);
    std::erase(names, next);
  }
  return join(nearest, ", ");
}

[[noreturn]] void fail_option(const Assignment& option, const std::string& model) {
  fail_setting(option.key, join(option.words, ","), fmt::format("no value: the model {} has no such option", model));
}

/// Whether a family has this option at this value by default. Files of settings hold the options of all families.
bool is_default_of_a_family(const Assignment& option) {
  return std::ranges::any_of(Registry<ModelFamily>::entries(), [&](const auto& entry) {
    return std::ranges::any_of(options_of(*entry.make()),
                               [&](const Assignment& other) { return other.key == option.key && other.words == option.words; });
  });
}

}  // namespace

const std::vector<CatalogEntry>& model_catalog() {
  static const std::vector<CatalogEntry> catalog = build_catalog();
  return catalog;
}

const CatalogEntry& catalog_entry(const std::string& model) {
  const auto& all = model_catalog();
  const auto found = std::ranges::find(all, model, [](const CatalogEntry& entry) { return entry.model.name; });
  if (found == all.end()) {
    const std::string near = nearest_models(model);
    fail_setting("model", model.substr(0, 80),
                 "the name of a model" + (near.empty() ? std::string() : fmt::format("; did you mean {}?", near)));
  }
  return *found;
}

std::vector<Assignment> options_of(ModelFamily& family) {
  Settings settings;
  family.declare(settings);
  std::vector<Assignment> options;
  for (const auto& setting : settings.all()) {
    if (Words words = setting->get(); !words.empty()) {
      options.push_back({.key = setting->name, .words = std::move(words)});
    }
  }
  return options;
}

std::unique_ptr<ModelFamily> make_family(const std::string& model, const std::vector<OptionLines>& layers) {
  std::unique_ptr<ModelFamily> family = fresh_family(catalog_entry(model).family);
  Settings settings;
  family->declare(settings);
  for (const OptionLines& layer : layers) {
    std::vector<Assignment> own;
    for (const Assignment& option : layer.lines) {
      if (settings.find(option.key) != nullptr) {
        own.push_back(option);
      } else if (!is_default_of_a_family(option)) {
        fail_option(option, model);
      }
    }
    if (layer.origin.empty()) {
      for (const Assignment& option : own) {
        settings.assign(option.key, option.words, Layer::command_line);
      }
    } else {
      settings.assign(own, Layer::command_line, layer.origin);
    }
  }
  family->resolve(model);
  return family;
}

std::string ModelFamily::describe(const std::string& model) {
  std::string text = model;
  for (const Assignment& option : options_of(*this)) {
    text += fmt::format(", {} {}", option.key, join(option.words, " "));
  }
  return text;
}

void ModelOptions::declare(Settings& settings) {
  const auto set = [this](const Words& words) {
    const std::string chosen = words.empty() ? "" : config_detail::single("model", words, "the name of a model");
    name = chosen.empty() ? chosen : catalog_entry(chosen).model.name;
  };
  const auto get = [this] { return name.empty() ? Words{} : Words{name}; };
  settings
      .add({.name = "model",
            .help = "Name of the network, such as resnet18.",
            .wanted = "the name of a model",
            .set = set,
            .get = get})
      .alias("m")
      .chosen_by_run();
  families_.declare(settings);
}

std::vector<Assignment> ModelOptions::given(const Settings& settings) const {
  std::vector<Assignment> options;
  for (const auto& [family_name, member] : families_.all()) {
    Settings own;
    member->declare(own);
    for (const auto& setting : own.all()) {
      if (settings.layer(setting->name) != Layer::defaults) {
        options.push_back({.key = setting->name, .words = setting->get()});
      }
    }
  }
  return options;
}

std::unique_ptr<ModelFamily> ModelOptions::family() const {
  OptionLines options;
  for (const auto& [family_name, member] : families_.all()) {
    std::ranges::move(options_of(*member), std::back_inserter(options.lines));
  }
  return make_family(name, {options});
}

}  // namespace residua
