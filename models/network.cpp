#include "models/network.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/join.h"

namespace residua {
namespace {

using nlohmann::json;

constexpr int64_t kLargestInput = 4096;  // side in pixels

/// Fails with UsageError on an invalid description; `origin` is where it comes from.
void check(const InputDescription& input, const std::string& origin) {
  if (input.size < 1 || input.size > kLargestInput) {
    fail_usage("{}: got a crop size of {}, wanted 1 to {} pixels", origin, input.size, kLargestInput);
  }
  const int64_t image = input.size * input.size * 3;
  if (const auto numbers = static_cast<int64_t>(input.mean.size()); numbers != 3 && numbers != image) {
    fail_usage(
        "{}: the input's mean has {} numbers, wanted 3, or {} for a mean image of {} x {} px; for another crop size give a "
        "mean of 3 numbers",
        origin, numbers, image, input.size, input.size);
  }
  if (!std::ranges::all_of(input.mean, [](float value) { return std::isfinite(value); }) ||
      !std::ranges::all_of(input.std, [](float value) { return std::isfinite(value) && value > 0; })) {
    fail_usage("{}: the input's mean and std must be finite numbers, std above 0; its std is {}", origin,
               fmt::join(input.std, ", "));
  }
}

void name_classes_by_number(InputDescription& input, int64_t classes) {
  input.class_names.clear();
  for (int64_t i = 0; i < classes; ++i) {
    input.class_names.push_back(fmt::format("class {}", i));
  }
}

Network build(std::string model, std::unique_ptr<ModelFamily> family, InputDescription input, DType compute) {
  const auto classes = static_cast<int64_t>(input.class_names.size());
  Network network{
      .name = std::move(model), .family = std::move(family), .module = nullptr, .input = std::move(input), .input_channels = 0};
  network.module = network.family->make(network.name, classes, compute);
  network.input_channels = network.family->input_channels(compute);
  return network;
}

/// The metadata key of a setting.
std::string metadata_key(std::string setting) {
  std::ranges::replace(setting, '-', '_');
  return setting;
}

/// A weights file's metadata, which may be missing or invalid.
class Metadata {
 public:
  explicit Metadata(const Safetensors& file) : file_(file) {}

  std::optional<std::string> text(const std::string& key) const {
    const auto found = file_.metadata.find(key);
    return found != file_.metadata.end() ? std::optional(found->second.substr(0, 80)) : std::nullopt;
  }

  /// The JSON value of a key, converted by `read`; nothing if the key is missing.
  template <class T, class Read>
  std::optional<T> value(const std::string& key, const Read& read) const {
    const auto found = file_.metadata.find(key);
    if (found == file_.metadata.end()) {
      return std::nullopt;
    }
    std::optional<T> result = read(json::parse(found->second, nullptr, false));
    if (!result) {
      fail_usage("{}: its metadata '{}' is not valid", file_.path, key);
    }
    return result;
  }

  std::optional<int64_t> whole(const std::string& key) const {
    return value<int64_t>(key,
                          [](const json& j) { return j.is_number_integer() ? std::optional(j.get<int64_t>()) : std::nullopt; });
  }

  std::optional<std::vector<float>> numbers(const std::string& key) const {
    return value<std::vector<float>>(key, [](const json& j) -> std::optional<std::vector<float>> {
      std::vector<float> result;
      for (const json& item : j) {
        if (!item.is_number()) {
          return std::nullopt;
        }
        const double number = item.get<double>();
        const bool fits = std::fabs(number) <= static_cast<double>(std::numeric_limits<float>::max());
        result.push_back(fits ? static_cast<float>(number) : std::numeric_limits<float>::infinity());
      }
      return j.is_array() ? std::optional(result) : std::nullopt;
    });
  }

  std::optional<PrincipalColors> colors(const std::string& key) const {
    return value<PrincipalColors>(key, [](const json& j) -> std::optional<PrincipalColors> {
      try {
        return PrincipalColors{.eigenvalues = j.at("eigenvalues"), .components = j.at("components")};
      } catch (const json::exception&) {
        return {};
      }
    });
  }

  std::optional<std::vector<std::string>> names(const std::string& key) const {
    return value<std::vector<std::string>>(key, [](const json& j) -> std::optional<std::vector<std::string>> {
      const bool good = j.is_array() && std::ranges::all_of(j, [](const json& item) { return item.is_string(); });
      return good ? std::optional(j.get<std::vector<std::string>>()) : std::nullopt;
    });
  }

  /// The family's options in the metadata.
  OptionLines options(const std::string& model) const {
    const std::unique_ptr<ModelFamily> family = make_family(model, {});
    Settings settings;
    family->declare(settings);
    OptionLines options{.origin = file_.path};
    for (const auto& setting : settings.all()) {
      if (const std::optional<std::string> word = text(metadata_key(setting->name))) {
        options.lines.push_back({.key = setting->name, .words = {*word}});
      }
    }
    return options;
  }

 private:
  const Safetensors& file_;
};

/// Fails with UsageError on an unknown model name; the message names its origin.
void check_model_name(const std::string& model, const std::string& origin) {
  try {
    catalog_entry(model);
  } catch (const UsageError& error) {
    fail_usage("{}: {}", origin, error.what());
  }
}

int64_t classes_of(const Safetensors& file, const ModelFamily& family) {
  const std::string name = family.classifier() + ".weight";
  const HostArray* weight = file.find(name);
  if (weight == nullptr || weight->shape.size() != 2 || weight->shape[0] < 1) {
    fail_usage("{} has no classifier: the tensor {} of shape [classes, features] is missing", file.path, name);
  }
  return weight->shape[0];
}

void name_classes(InputDescription& input, const std::optional<std::vector<std::string>>& names, int64_t classes,
                  const std::string& origin) {
  if (!names) {
    name_classes_by_number(input, classes);
    return;
  }
  if (static_cast<int64_t>(names->size()) != classes) {
    fail_usage("{} has {} classes, but {} class names were given", origin, classes, names->size());
  }
  input.class_names = *names;
  input.classes_named = true;
}

}  // namespace

std::string Network::description() const { return fmt::format("{}, {} classes", family->describe(name), classes()); }

Network make_network(const ModelOptions& options, InputDescription input, DType compute) {
  const ModelInfo& model = catalog_entry(options.name).model;
  if (input.size == 0) {
    input.size = model.image_size;
  }
  input.classes_named = !input.class_names.empty();
  if (!input.classes_named) {
    name_classes_by_number(input, model.classes);
  }
  check(input, options.name);
  return build(options.name, options.family(), std::move(input), compute);
}

Network network_from_weights(const Safetensors& file, const NetworkOverrides& overrides, DType compute) {
  const Metadata metadata(file);
  const std::string model = overrides.model.empty() ? metadata.text("model").value_or("") : overrides.model;
  if (model.empty()) {
    fail_usage("{} does not say which model it belongs to: give the model", file.path);
  }
  if (overrides.model.empty()) {
    check_model_name(model, file.path);
  }
  std::unique_ptr<ModelFamily> family = make_family(model, {metadata.options(model), {.lines = overrides.options}});

  InputDescription input;
  input.size = overrides.size ? *overrides.size : metadata.whole("input_size").value_or(catalog_entry(model).model.image_size);
  const StoredInput stored = stored_input(file, input.size);
  input.mean = overrides.mean.value_or(stored.mean.value_or(input.mean));
  input.std = overrides.std.value_or(stored.std.value_or(input.std));
  input.colors = stored.colors;
  input.turned_by_exif = overrides.turned_by_exif.value_or(metadata.text("exif") == "true");
  name_classes(input, overrides.class_names ? overrides.class_names : metadata.names("classes"), classes_of(file, *family),
               file.path);
  check(input, file.path);
  return build(model, std::move(family), std::move(input), compute);
}

void check_stored_options(const Safetensors& file, const Network& network) {
  const std::vector<Assignment> own = options_of(*network.family);
  for (const Assignment& stored : Metadata(file).options(network.name).lines) {
    const auto same = std::ranges::find(own, stored.key, &Assignment::key);
    if (same == own.end() || same->words != stored.words) {
      fail_setting(stored.key, same == own.end() ? "nothing" : join(same->words, ","),
                   fmt::format("{}, the value of the network in {}", join(stored.words, ","), file.path));
    }
  }
}

StoredInput stored_input(const Safetensors& file, int64_t size) {
  const Metadata metadata(file);
  StoredInput stored{.mean = {}, .std = {}, .colors = metadata.colors("colors")};
  if (std::vector<float> image = stored_mean_image(file, size); !image.empty()) {
    stored.mean = std::move(image);
  } else {
    stored.mean = metadata.numbers("mean");
  }
  if (const auto numbers = metadata.numbers("std")) {
    if (numbers->size() != 3) {
      fail_usage("{}: its metadata 'std' has {} numbers, wanted 3", file.path, numbers->size());
    }
    std::ranges::copy(*numbers, stored.std.emplace().begin());
  }
  return stored;
}

std::vector<std::string> stored_class_names(const Safetensors& file) {
  return Metadata(file).names("classes").value_or(std::vector<std::string>());
}

SafetensorsMetadata network_metadata(const Network& network) {
  const std::array<float, 3> mean = channel_means(network.input.mean);
  SafetensorsMetadata metadata{{"model", network.name},
                               {"input_size", std::to_string(network.input.size)},
                               {"mean", json(mean).dump()},
                               {"std", json(network.input.std).dump()}};
  if (const std::optional<PrincipalColors>& colors = network.input.colors) {
    metadata["colors"] = json{{"eigenvalues", colors->eigenvalues}, {"components", colors->components}}.dump();
  }
  if (network.input.turned_by_exif) {
    metadata["exif"] = "true";
  }
  if (network.input.classes_named) {
    metadata["classes"] = json(network.input.class_names).dump();
  }
  for (const Assignment& option : options_of(*network.family)) {
    metadata[metadata_key(option.key)] = config_detail::single(option.key, option.words, "one word");
  }
  return metadata;
}

InputFormat input_format(const Network& network, DType compute, Device device) {
  std::array<float, 3> inverse_std{};
  std::ranges::transform(network.input.std, inverse_std.begin(), [](float std) { return 1 / std; });
  return {.height = network.input.size,
          .width = network.input.size,
          .channels = network.input_channels,
          .dtype = compute,
          .mean = mean_tensor(network.input.mean, network.input.size, device),
          .inverse_std = from_values({3}, inverse_std, DType::f32, device)};
}

}  // namespace residua
