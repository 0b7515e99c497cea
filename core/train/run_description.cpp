#include "core/train/run_description.h"

#include <fmt/format.h>
#include <omp.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "core/base/version.h"
#include "core/data/digest.h"
#include "core/device/device_api.h"
#include "core/io/read_file.h"
#include "core/nn/summary.h"
#include "core/train/training.h"
#include "models/recipes.h"

namespace residua {
namespace {

constexpr int kFormat = 1;

nlohmann::ordered_json value_of(WordKind kind, const std::string& word) {
  switch (kind) {
    case WordKind::flag: return word == "true";
    case WordKind::number: {
      char* end = nullptr;
      const double number = std::strtod(word.c_str(), &end);
      const bool whole = word.find_first_not_of("-0123456789") == std::string::npos;
      if (end != word.c_str() && *end == '\0') {
        return whole ? nlohmann::ordered_json(static_cast<int64_t>(number)) : nlohmann::ordered_json(number);
      }
      return word;  // "pixel"
    }
    case WordKind::text: break;
  }
  return word;
}

nlohmann::ordered_json value_of(const Setting& setting) {
  const Words words = setting.get();
  if (!setting.list) {
    return value_of(setting.kind, words.front());
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const std::string& word : words) {
    list.push_back(value_of(setting.kind, word));
  }
  return list;
}

/// Adds the names of the options of all kinds other than the chosen one.
template <class Kind>
void add_unused(std::string_view chosen, std::set<std::string>& names) {
  const Kinds<Kind> kinds;
  for (const auto& named : kinds.all()) {
    Settings own;
    named.kind->declare(own);
    for (const auto& setting : own.all()) {
      if (named.name != chosen) {
        names.insert(setting->name);
      }
    }
  }
}

std::set<std::string> unused_options(const RunConfig& c, const Network& network) {
  std::set<std::string> names;
  add_unused<SourceKind>(c.dataset.name == "auto" ? detect_source(c.dataset.folder) : c.dataset.name, names);
  add_unused<ViewKind>(c.input.view, names);
  add_unused<ScheduleKind>(c.schedule.name, names);
  add_unused<Protocol>(c.evaluation.protocol, names);
  add_unused<ModelFamily>(catalog_entry(network.name).family, names);
  if (count_views(c.evaluation.chosen(), network.input.size) == 1) {  // nothing to average
    names.insert("average");
  }
  return names;
}

/// The settings in use, with the model's own values for what the run leaves open.
nlohmann::ordered_json configuration_of(const Settings& settings, const RunConfig& config, const Network& network) {
  const std::set<std::string> unused = unused_options(config, network);
  Settings of_model;
  network.family->declare(of_model);
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const auto& setting : settings.all()) {
    const Setting* own = of_model.find(setting->name);
    const Setting& valued = own != nullptr ? *own : *setting;
    if (setting->result && !unused.contains(setting->name) && !valued.get().empty()) {
      all[setting->name] = value_of(valued);
    }
  }
  return all;
}

Precision precision_of(DType compute) {
  switch (compute) {
    case DType::bf16: return Precision::bf16;
    case DType::f16: return Precision::fp16;
    default: return Precision::fp32;
  }
}

std::string file_digest(const std::string& path) {
  if (path.empty()) {
    return {};
  }
  if (!std::filesystem::exists(path)) {  // a resumed run does not need them
    return "gone";
  }
  std::vector<uint8_t> bytes;
  read_file(path, bytes);
  return text_digest({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

std::string RunDescription::digest() const {
  return text_digest(fmt::format("{}\n{}\n{}\n{}\n{}", configuration.dump(), train_set, validation_set, test_set, weights));
}

RunDescription describe_run(const Settings& settings, const RunConfig& c, const RunData& data, const Network& network,
                            Device device, DType precision) {
  const int64_t batches = batches_per_epoch(data.train->size(), c);
  const device_api::DeviceDescription processor = device_api::describe(device);
  const ModelSummary summary = summarize(*network.module, {1, network.input.size, network.input.size, 3});
  RunDescription d{.recipe = c.recipe,
                   .deviations = settings.deviations(find_recipe(c.recipe).settings()),
                   .configuration = configuration_of(settings, c, network),
                   .train_set = set_digest(*data.train),
                   .validation_set = data.validation != nullptr ? set_digest(*data.validation) : std::string(),
                   .test_set = data.test != nullptr ? set_digest(*data.test) : std::string(),
                   .weights = file_digest(c.weights.file),
                   .iterations = run_length(c.training, batches).total_iterations,
                   .iterations_per_epoch = batches,
                   .train_images = data.train->size(),
                   .validation_images = data.validation != nullptr ? data.validation->size() : 0,
                   .parameters = summary.parameters,
                   .peak_lr = rate_for_batch(c.schedule, c.training.batch_size),
                   .lr_scaling = describe_scaling(c.schedule, c.training.batch_size),
                   .device = device.string(),
                   .processor = processor.instructions.empty() ? processor.name
                                                               : fmt::format("{} ({})", processor.name, processor.instructions),
                   .precision = std::string(to_text(precision_of(precision))),
                   .threads = omp_get_max_threads()};
  d.configuration["precision"] = d.precision;  // not "auto", which depends on the machine
  return d;
}

nlohmann::ordered_json to_json(const RunDescription& d) {
  return {{"format", kFormat},
          {"version", version()},
          {"digest", d.digest()},
          {"model", d.configuration.value("model", "")},
          {"recipe", d.recipe},
          {"deviations", d.deviations},
          {"configuration", d.configuration},
          {"train_set", d.train_set},
          {"validation_set", d.validation_set},
          {"test_set", d.test_set},
          {"weights", d.weights},
          {"iterations", d.iterations},
          {"iterations_per_epoch", d.iterations_per_epoch},
          {"train_images", d.train_images},
          {"validation_images", d.validation_images},
          {"parameters", d.parameters},
          {"peak_lr", d.peak_lr},
          {"lr_scaling", d.lr_scaling},
          {"device", d.device},
          {"processor", d.processor},
          {"precision", d.precision},
          {"threads", d.threads}};
}

}  // namespace residua
