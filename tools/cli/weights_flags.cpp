#include "tools/cli/weights_flags.h"

#include <array>

#include "core/data/class_names.h"
#include "core/data/statistics.h"

namespace residua {
void WeightsFlags::add(CLI::App& app) {
  declare(settings_, model_);
  for (const auto& setting : settings_.all()) {
    std::string flags = "--" + setting->name;
    for (const std::string& alias : setting->aliases) {
      flags += (alias.size() == 1 ? ",-" : ",--") + alias;
    }
    app.add_option_function<std::string>(
        flags, [this, key = setting->name](const std::string& word) { settings_.assign(key, {word}, Layer::command_line); },
        setting->help);
  }
  app.add_option("--classes", classes_file_, "text file with one class name per line, in label order")
      ->check(CLI::ExistingFile);
  app.add_option("--crop-size", crop_size_, "side of the network's input in pixels");
  app.add_option("--mean", mean_, "mean of each channel: R,G,B, each from 0 to 1")
      ->delimiter(',')
      ->expected(3)
      ->allow_extra_args(false)
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--std", std_, "standard deviation of each channel: R,G,B")
      ->delimiter(',')
      ->expected(3)
      ->allow_extra_args(false)
      ->check(CLI::Range(1e-4, 1.0));
}

NetworkOverrides WeightsFlags::overrides() const {
  NetworkOverrides overrides{.model = model_.name, .options = model_.given(settings_), .size = crop_size_};
  if (!classes_file_.empty()) {
    overrides.class_names = read_class_names(classes_file_);
  }
  if (!mean_.empty()) {
    const std::array<float, 3> mean = in_pixel_units(mean_);
    overrides.mean.emplace(mean.begin(), mean.end());
  }
  if (!std_.empty()) {
    overrides.std = in_pixel_units(std_);
  }
  return overrides;
}

}  // namespace residua
