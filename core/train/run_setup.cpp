#include "core/train/run_setup.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <optional>
#include <utility>

#include "core/base/random.h"
#include "core/data/digest.h"
#include "core/data/statistics_cache.h"
#include "core/data/subset.h"
#include "core/io/cache_folder.h"
#include "core/nn/state_dict.h"
#include "core/run/checkpoint.h"
#include "core/run/run_folder.h"
#include "core/train/training_checks.h"

namespace residua {
namespace {

constexpr int64_t kPhotoSize = 224;  // default side in pixels

void check_named(const DatasetOptions& o) {
  if (!o.named()) {
    fail_usage("no data set was given: name its folder, or set dataset to fashion-mnist or synthetic, which need none");
  }
  if (!o.folder.empty() && !std::filesystem::is_directory(o.folder)) {
    fail_usage("the data folder {} does not exist or is not a folder", o.folder);
  }
}

/// Moves `count` random training images to the validation set. The choice depends only on `count` and the set's size.
void hold_out(RunData& data, int64_t count) {
  const int64_t images = data.train->size();
  if (count >= images) {
    fail_setting("holdout", fmt::format("{}", count), fmt::format("fewer than the {} training images", images));
  }
  std::vector<int64_t> order(static_cast<size_t>(images));
  std::iota(order.begin(), order.end(), 0);
  Random random(0, RandomPurpose::holdout, 0, 0);
  for (int64_t i = 0; i < count; ++i) {  // the first steps of a Fisher-Yates shuffle
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(i + random.below(images - i))]);
  }
  const auto end = order.begin() + count;
  std::sort(order.begin(), end);
  std::sort(end, order.end());
  data.test = std::exchange(data.validation, std::make_shared<Subset>(data.train, std::vector<int64_t>(order.begin(), end)));
  data.train = std::make_shared<Subset>(data.train, std::vector<int64_t>(end, order.end()));
}

}  // namespace

std::shared_ptr<const ImageSource> open_split(const RunConfig& c, Split split) {
  check_named(c.dataset);
  const SourceContext context{.image_size = c.input.crop_size.value_or(32), .seed = static_cast<uint64_t>(c.training.seed)};
  return open_source(c.dataset, split, context);
}

RunData open_data(const RunConfig& c) {
  RunData data{.train = open_split(c, Split::train), .validation = open_split(c, Split::val)};
  if (const std::string difference = different_class_names(data.train->class_names(), data.validation->class_names());
      !difference.empty()) {
    fail_usage("the training and validation sets have different classes: {}; both need the same class folders", difference);
  }
  if (c.holdout > 0) {
    hold_out(data, c.holdout);
  }
  return data;
}

std::shared_ptr<const ImageSource> clean_images(const std::shared_ptr<const ImageSource>& train, int64_t count) {
  if (count == 0) {
    return nullptr;
  }
  count = std::min(count, train->size());
  std::vector<int64_t> chosen(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    chosen[static_cast<size_t>(i)] = i * train->size() / count;
  }
  return std::make_shared<Subset>(train, std::move(chosen));
}

void settle_with_data(Settings& settings, RunConfig& c, const RunData& data) {
  apply_recipe(settings, c, data.photos());
  check_training(c, data.train->size());
  settings.set_default("crop-size", {fmt::format("{}", data.photos() ? kPhotoSize : data.train->fixed_size()->height)});
  if (c.output.folder.empty()) {
    c.output.folder = default_output(c.model.name, c.dataset);
  }
}

Network make_network(const RunConfig& c, const std::vector<std::string>& class_names, DType precision) {
  return make_network(
      c.model, {.size = c.input.crop_size.value_or(0), .class_names = class_names, .turned_by_exif = c.loader.turns_by_exif},
      precision);
}

namespace {

std::vector<float> mean_in_file(const std::string& path, int64_t size) {
  if (!std::filesystem::is_regular_file(path)) {
    fail_setting("mean", path, kWantedMean);
  }
  std::vector<float> mean = stored_mean_image(load_safetensors(path), size);
  if (mean.empty()) {
    fail_setting("mean", path, "a safetensors file with a mean image: the tensor input.mean");
  }
  return mean;
}

}  // namespace

void measure_input(const RunConfig& c, const std::shared_ptr<const ImageSource>& train, InputDescription& input,
                   const MeasureProgress& progress, Communicator* ranks) {
  const InputOptions& o = c.input;
  const std::optional<ImageSize> fixed = train->fixed_size();
  const bool of_input_size = fixed && *fixed == ImageSize{input.size, input.size};
  const bool mean_image = o.mean == MeanKind::pixel || (o.mean == MeanKind::by_source && of_input_size);
  const bool mean_given = o.mean == MeanKind::values || o.mean == MeanKind::file;
  const bool of_set = fixed || mean_image || o.mean == MeanKind::channel;  // else ImageNet's
  const bool colors = o.views.at("augment", o.view).measures_colors();

  ImageStatistics measured{.channels = kImageNetStatistics};
  if (colors || (of_set && !(mean_given && !o.std.empty()))) {
    const std::string folder = fixed ? "" : cache_folder();  // images of one size are small: they are read in no time
    measured = measure_images_once(folder, train, input.size, c.loader, progress, ranks);
  }
  const ChannelStatistics& channels = of_set ? measured.channels : kImageNetStatistics;
  input.mean.assign(channels.mean.begin(), channels.mean.end());
  input.std = channels.std;
  if (o.mean == MeanKind::values) {
    const std::array<float, 3> mean = in_pixel_units(o.mean_values);
    input.mean.assign(mean.begin(), mean.end());
  } else if (o.mean == MeanKind::file) {
    input.mean = mean_in_file(o.mean_file, input.size);
  } else if (mean_image) {
    input.mean = std::move(measured.mean_image);
  }
  if (!o.std.empty()) {
    input.std = in_pixel_units(o.std);
  }
  if (colors) {
    input.colors = measured.colors;
  }
}

namespace {

/// The file with the input of a run that goes on: the checkpoint itself or, for one of an older format, the weights beside it;
/// empty if those are gone.
std::optional<Safetensors> input_of_checkpoint(const std::string& path) {
  Checkpoint checkpoint = load_checkpoint(path);
  if (checkpoint.metadata.contains("mean")) {
    return checkpoint;
  }
  const std::string beside = (std::filesystem::path(path).parent_path() / kLastFile).string();
  return std::filesystem::is_regular_file(beside) ? std::optional(read_weights(beside)) : std::nullopt;
}

}  // namespace

void settle_input(const Settings& settings, const RunConfig& c, const std::string& checkpoint,
                  const std::shared_ptr<const ImageSource>& train, InputDescription& input, const MeasureProgress& progress,
                  Communicator* ranks) {
  const bool goes_on = !checkpoint.empty();
  std::optional<Safetensors> file;
  if (goes_on) {
    file = input_of_checkpoint(checkpoint);
  } else if (!c.weights.file.empty()) {
    file = read_weights(c.weights.file);
  }
  StoredInput stored;
  if (file) {
    stored = stored_input(*file, input.size);
    const Layer wins = goes_on ? Layer::command_line : Layer::file;  // over the weights
    stored.mean = settings.layer("mean") >= wins ? std::nullopt : std::move(stored.mean);
    stored.std = settings.layer("std") >= wins ? std::nullopt : stored.std;
    stored.colors = goes_on ? stored.colors : std::nullopt;  // of the images that they were trained on
  }
  const bool colors = c.input.views.at("augment", c.input.view).measures_colors();
  if (!stored.mean || !stored.std || (colors && !stored.colors)) {
    measure_input(c, train, input, progress, ranks);
  }
  input.mean = stored.mean.value_or(std::move(input.mean));
  input.std = stored.std.value_or(input.std);
  input.colors = colors && stored.colors ? stored.colors : input.colors;
}

Network network_of_weights(const Safetensors& file, const RunConfig& c, const Settings& settings, DType precision) {
  NetworkOverrides overrides{.model = c.model.name, .options = c.model.given(settings), .size = c.input.crop_size};
  if (c.input.mean == MeanKind::values) {
    const std::array<float, 3> mean = in_pixel_units(c.input.mean_values);
    overrides.mean.emplace(mean.begin(), mean.end());
  }
  if (!c.input.std.empty()) {
    overrides.std = in_pixel_units(c.input.std);
  }
  if (settings.layer("exif") > Layer::defaults) {
    overrides.turned_by_exif = c.loader.turns_by_exif;
  }
  Network network = network_from_weights(file, overrides, precision);
  if (c.input.mean == MeanKind::file && settings.layer("mean") == Layer::command_line) {
    network.input.mean = mean_in_file(c.input.mean_file, network.input.size);
  }
  return network;
}

namespace {

/// Fails with UsageError if the classifier of the first weights is for other classes than the network's.
void check_first_classes(const Safetensors& file, const Network& network) {
  const HostArray* classifier = file.find(network.family->classifier() + ".weight");
  const int64_t stored = classifier != nullptr && classifier->shape.size() == 2 ? classifier->shape[0] : network.classes();
  const std::vector<std::string> names = stored_class_names(file);
  const std::string difference = stored != network.classes() ? fmt::format("these have {}", stored)
                                 : names.empty()             ? std::string()
                                                             : different_class_names(names, network.input.class_names);
  if (!difference.empty()) {
    fail_setting(
        "weights", file.path,
        fmt::format("weights for the data's {} classes, but {}; reset-classifier starts a new classifier on top of the "
                    "other weights",
                    network.classes(), difference));
  }
}

}  // namespace

int64_t iteration_of(const Safetensors& file) {
  const auto iteration = file.metadata.find("iteration");
  return iteration == file.metadata.end() ? 0 : std::strtoll(iteration->second.c_str(), nullptr, 10);
}

int64_t load_first_weights(const RunConfig& c, const Network& network, ParameterStore& store) {
  const FirstWeights& first = c.weights;
  if (first.file.empty()) {
    return 0;
  }
  const Safetensors file = read_weights(first.file);
  check_stored_options(file, network);
  if (!first.reset_classifier) {
    check_first_classes(file, network);
  }
  load_weights(file, store, network.family->classifier() + ".",
               first.reset_classifier ? StoredClassifier::ignore : StoredClassifier::load);
  return iteration_of(file);
}

}  // namespace residua
