// train-imagenet: trains, validates and describes the networks of He et al. 2015. All flags are in core/train/train_options.
#include <fcntl.h>
#include <fmt/format.h>
#include <omp.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/data/source.h"
#include "core/data/statistics.h"
#include "core/nn/summary.h"
#include "core/train/output_folder.h"
#include "core/train/safetensors.h"
#include "core/train/train_options.h"
#include "core/train/trainer.h"
#include "models/catalog.h"
#include "models/classifier.h"

extern char** environ;

namespace residua {
namespace {

namespace fs = std::filesystem;

constexpr std::array kStopSignals = {SIGINT, SIGTERM, SIGHUP};

volatile std::sig_atomic_t stop_signal = 0;
volatile std::sig_atomic_t caught[kStopSignals.size()] = {};  // which of them end the run: nohup has SIGHUP ignored

void list_models() {
  for (const CatalogEntry& entry : model_catalog()) {
    fmt::print("{:<14}{}\n", entry.spec.name, entry.description);
  }
}

/// The network's spec, without its class count: checked before any data is read.
ResNetSpec make_spec(const TrainOptions& o, DType precision) {
  ResNetSpec spec = model_spec(*o.model);
  if (o.shortcut) {
    set_shortcut(spec, parse_shortcut(*o.shortcut));
  }
  spec.shortcut_pad = o.shortcut_pad == "both" ? ShortcutPad::both : ShortcutPad::end;
  spec.shortcut_pool = o.shortcut_pool == "average" ? ShortcutPool::average : ShortcutPool::stride;
  spec.bottleneck_stride = o.bottleneck_stride == "conv1x1" ? BottleneckStride::conv1x1 : BottleneckStride::conv3x3;
  spec.stored_in_channels = stored_input_channels(precision);
  return spec;
}

/// "resnet34, shortcut A, ...": two runs with the same text have the same network.
std::string spec_text(const ResNetSpec& spec, const TrainOptions& o) {
  return fmt::format("{}, shortcut {}, {}, {}, {}, {} classes", spec.name, name(spec.shortcut), o.shortcut_pad, o.shortcut_pool,
                     o.bottleneck_stride, spec.classes);
}

SafetensorsMetadata weights_metadata(const ResNetSpec& spec, const TrainOptions& o, const InputStatistics& statistics,
                                     const std::vector<std::string>& classes) {
  return {{"model", spec.name},
          {"shortcut", std::string(name(spec.shortcut))},
          {"shortcut_pad", o.shortcut_pad},
          {"shortcut_pool", o.shortcut_pool},
          {"bottleneck_stride", o.bottleneck_stride},
          {"input_size", std::to_string(*o.crop_size)},
          {"mean", nlohmann::json(statistics.mean).dump()},
          {"std", nlohmann::json(statistics.std).dump()},
          {"classes", nlohmann::json(classes).dump()}};
}

/// The mean image is of sources whose images are as large as the network's input.
bool subtracts_mean_image(const TrainOptions& o, const ImageSource& source) {
  const std::optional<ImageSize> size = source.fixed_size();
  const bool possible = size && size->height == *o.crop_size && size->width == *o.crop_size;
  const bool wanted = o.mean == std::vector<std::string>{"pixel"};
  if (wanted && !possible) {
    fail_usage("--mean pixel: {} and --crop-size is {}, wanted images of just that size; use --mean channel",
               size ? fmt::format("images are {} x {}", size->height, size->width) : "images have many sizes", *o.crop_size);
  }
  return wanted || (o.mean.empty() && possible);
}

std::vector<float> in_bytes(const std::vector<std::string>& words) {
  std::vector<float> values(words.size());
  std::ranges::transform(words, values.begin(), [](const std::string& word) { return 255 * std::stof(word); });
  return values;
}

InputStatistics input_statistics(const TrainOptions& o, const ImageSource& source) {
  constexpr int64_t kSample = 60000;  // images: all of CIFAR and Fashion-MNIST
  const bool given = o.mean.size() == 3;
  const bool measured = source.fixed_size() || o.mean == std::vector<std::string>{"channel"};
  const bool complete = given && !o.std.empty();
  const ChannelStatistics channels =
      measured && !complete ? compute_channel_statistics(source, source.fixed_size() ? kSample : 2000) : kImageNetStatistics;
  InputStatistics result{.mean = {channels.mean.begin(), channels.mean.end()}, .std = channels.std};
  if (given) {
    result.mean = in_bytes(o.mean);
  } else if (subtracts_mean_image(o, source)) {
    result.mean = compute_pixel_mean(source, kSample);
  }
  if (!o.std.empty()) {
    std::ranges::transform(o.std, result.std.begin(), [](double value) { return static_cast<float>(255 * value); });
  }
  return result;
}

/// The settings as they came out, for config.toml: `text` is what was given, the data set's defaults are added.
std::string resolved_toml(const TrainOptions& o) {
  std::string text = o.toml;
  const auto add = [&text](const std::string& key, const std::string& value) {
    const std::string line = "\n" + key + "=";
    const size_t at = ("\n" + text).find(line);
    if (at == std::string::npos) {
      text += fmt::format("{}={}\n", key, value);
      return;
    }
    const size_t begin = at + line.size() - 1;
    text.replace(begin, text.find('\n', begin) - begin, value);
  };
  add("model", fmt::format("\"{}\"", *o.model));
  add("batch-size", std::to_string(*o.batch_size));
  add("lr", fmt::format("{}", *o.learning_rate));
  add("augment", fmt::format("\"{}\"", *o.augment));
  add("crop-size", std::to_string(*o.crop_size));
  if (o.iterations) {
    add("iterations", std::to_string(*o.iterations));
  } else {
    add("epochs", fmt::format("{}", *o.epochs));
  }
  // TOML's literal strings take what its basic ones would need escapes for.
  const char quote = o.output.find('"') == std::string::npos ? '"' : '\'';
  add("output", fmt::format("{0}{1}{0}", quote, o.output));
  return text;
}

/// Where the scripts are: beside the program in an archive of tools/bundle, else in the source tree.
fs::path tools_folder() {
  std::error_code error;
  // Not /proc/self/exe: that is the loader where the archive's own one was started.
  const fs::path program = fs::canonical(reinterpret_cast<const char*>(getauxval(AT_EXECFN)), error);
  const fs::path beside = program.parent_path().parent_path() / "tools";
  return fs::exists(beside / "plot-curves", error) ? beside : fs::path(RESIDUA_TOOLS_DIR);
}

/// Draws curves.png and curves.svg by tools/plot-curves; without it, or without matplotlib, the run stands all the same.
void draw_curves(const std::string& folder) {
  const fs::path script = tools_folder() / "plot-curves";
  std::vector<std::string> words = {script.string(), folder};
  std::vector<char*> argv = {words[0].data(), words[1].data(), nullptr};
  pid_t child = 0;
  int status = 1;
  if (posix_spawn(&child, argv[0], nullptr, nullptr, argv.data(), environ) != 0 || waitpid(child, &status, 0) != child ||
      status != 0) {
    fmt::print("curves were not drawn: run {} {}\n", script.string(), folder);
  }
}

/// The first signal to end lets the run save its state, a second one ends it at once. That nobody reads the output any more, or
/// that a file may not grow, is no reason to end: writing says so.
void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int number) {
    stop_signal = number;
    for (size_t i = 0; i < kStopSignals.size(); ++i) {
      if (caught[i] != 0) {
        std::signal(kStopSignals[i], SIG_DFL);
      }
    }
  };
  for (size_t i = 0; i < kStopSignals.size(); ++i) {
    struct sigaction before {};
    sigaction(kStopSignals[i], nullptr, &before);
    if (before.sa_handler != SIG_IGN) {
      caught[i] = 1;
      sigaction(kStopSignals[i], &action, nullptr);
    }
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

/// A file of the run must not get the number of a standard stream that was closed: what is printed would go into it.
void open_standard_streams() {
  int descriptor = 0;
  while (descriptor >= 0 && descriptor <= STDERR_FILENO) {
    descriptor = ::open("/dev/null", O_RDWR);
  }
  if (descriptor > STDERR_FILENO) {
    ::close(descriptor);
  }
}

/// For --evaluate: what the command line leaves out comes from the file of weights, as for classify. Returns what it is of.
StoredNetwork take_from_weights(TrainOptions& o) {
  ClassifierOptions options{.weights = o.weights, .model = o.model, .shortcut = o.shortcut, .crop_size = o.crop_size};
  const auto given = [](const std::string& value, const std::string& otherwise) {
    return value == otherwise ? std::optional<std::string>() : value;
  };
  const TrainOptions defaults;
  options.shortcut_pad = given(o.shortcut_pad, defaults.shortcut_pad);
  options.shortcut_pool = given(o.shortcut_pool, defaults.shortcut_pool);
  options.bottleneck_stride = given(o.bottleneck_stride, defaults.bottleneck_stride);
  if (o.mean.size() == 3) {
    options.mean = in_bytes(o.mean);
  }
  if (!o.std.empty()) {
    std::ranges::transform(o.std, options.std.emplace().begin(), [](double value) { return static_cast<float>(255 * value); });
  }
  StoredNetwork network = stored_network(options, load_safetensors(o.weights));
  const ResNetSpec& spec = network.spec;
  o.model = spec.name;
  if (spec.shortcut != Shortcut::none) {
    o.shortcut = name(spec.shortcut);
  }
  o.shortcut_pad = spec.shortcut_pad == ShortcutPad::both ? "both" : "end";
  o.shortcut_pool = spec.shortcut_pool == ShortcutPool::average ? "average" : "stride";
  o.bottleneck_stride = spec.bottleneck_stride == BottleneckStride::conv1x1 ? "conv1x1" : "conv3x3";
  o.crop_size = network.crop_size;
  return network;
}

/// Folders may have been renamed, which is no reason to refuse; but other data have other classes.
void tell_of_other_classes(const StoredNetwork& network, const std::vector<std::string>& class_names) {
  for (size_t i = 0; network.named && i < std::min(network.class_names.size(), class_names.size()); ++i) {
    if (network.class_names[i] != class_names[i]) {
      fmt::print("note: class {} is '{}' in the data and '{}' in the weights: are they of the same classes?\n", i,
                 class_names[i], network.class_names[i]);
      return;
    }
  }
}

/// Whether a run is resumed where it was: another run's folder is not overwritten.
bool goes_on_in_its_folder(const TrainOptions& o) {
  std::error_code none;
  return o.resume == "auto" ||
         (!o.resume.empty() && fs::equivalent(fs::absolute(o.resume).parent_path(), fs::absolute(o.output), none));
}

SourceOptions source_options(const TrainOptions& o, Split split) {
  SourceOptions options;
  options.image_size = o.crop_size.value_or(32);
  options.classes = o.synthetic_classes;
  options.images = split == Split::train ? o.synthetic_images : std::max<int64_t>(o.synthetic_images / 5, 16);
  options.seed = static_cast<uint64_t>(o.seed);
  return options;
}

int run(TrainOptions o) {
  if (o.list_models) {
    list_models();
    return 0;
  }
  const Device device = parse_device(o.device);
  const DType precision = parse_precision(o.precision, device);
  device_api::set_plan_options(
      device, {.nondeterministic = o.allow_nondeterministic, .runtime_compilation = o.allow_runtime_compilation});
  if (o.threads > 0) {
    omp_set_num_threads(static_cast<int>(o.threads));
  }
  if (o.model) {
    static_cast<void>(make_spec(o, precision));  // a bad name must not wait for the data
  }
  if (o.augment) {
    static_cast<void>(make_augmentation(*o.augment, o.crop_size.value_or(224)));
  }
  if (o.summary && o.directory.empty() && o.dataset == "auto") {
    const bool cifar = o.model && model_spec(*o.model).stem == Stem::cifar;
    fill_defaults(o, !cifar);
    ResNetSpec spec = make_spec(o, precision);
    const int64_t size = o.crop_size.value_or(spec.image_size());
    fmt::print("{}\n", summarize(ResNet(spec), {1, size, size, 3}).table());
    return 0;
  }
  if (o.directory.empty() && o.dataset == "auto") {
    fail_usage(
        "no data set was given: name its folder (train-imagenet DIR), or use --dataset fashion-mnist or --dataset synthetic");
  }
  if (!o.directory.empty() && !fs::is_directory(o.directory)) {
    fail_usage("the data folder {} does not exist or is not a folder", o.directory);
  }
  if (o.evaluate_only && o.weights.empty()) {
    fail_usage("--evaluate needs --weights FILE");
  }
  std::optional<StoredNetwork> stored;
  if (o.evaluate_only) {
    stored = take_from_weights(o);
  }

  const bool measure = o.mean.size() == 1;  // as "channel" or "pixel" asks for
  const auto val = open_source(o.dataset, o.directory, Split::val, source_options(o, Split::val));
  const auto train =
      stored && !measure ? val : open_source(o.dataset, o.directory, Split::train, source_options(o, Split::train));
  const int64_t classes = static_cast<int64_t>(train->class_names().size());
  if (val->class_names() != train->class_names()) {
    fail_usage("train has {} classes and val has {}, or their names differ: both need the same class folders", classes,
               val->class_names().size());
  }
  const bool photos = !train->fixed_size();
  fill_defaults(o, photos);
  if (!o.crop_size) {
    o.crop_size = photos ? 224 : train->fixed_size()->height;
  }
  ResNetSpec spec = make_spec(o, precision);
  spec.classes = classes;
  if (o.output.empty()) {
    o.output = fmt::format("runs/{}-{}", spec.name,
                           o.dataset == "auto" ? fs::path(o.directory).lexically_normal().filename().string() : o.dataset);
  }
  o.toml = resolved_toml(o);
  ResNet model(spec);
  const ModelSummary summary = summarize(model, {1, *o.crop_size, *o.crop_size, 3});
  if (o.summary) {
    fmt::print("{}\n", summary.table());
    return 0;
  }

  std::optional<OutputFolder> folder;
  if (!o.evaluate_only && !o.data_only && !o.overfit_batch) {
    folder.emplace(o.output, goes_on_in_its_folder(o) ? Existing::go_on : Existing::refuse);
  }
  const InputStatistics statistics = stored && !measure ? stored->statistics : input_statistics(o, *train);
  Trainer trainer({.model = &model,
                   .model_name = spec_text(spec, o),
                   .input_channels = model.input_channels(),
                   .device = device,
                   .precision = precision,
                   .options = o,
                   .train = train,
                   .val = val,
                   .statistics = statistics,
                   .metadata = weights_metadata(spec, o, statistics, train->class_names())});
  const std::string images = stored ? fmt::format("{} validation", val->size())
                                    : fmt::format("{} training and {} validation", train->size(), val->size());
  fmt::print("{} ({:.2f} M parameters, {:.2f} G multiply-adds an image) on {} images, {} classes, {}x{} px\n", spec.name,
             static_cast<double>(summary.parameters) * 1e-6, static_cast<double>(summary.multiply_adds) * 1e-9, images, classes,
             *o.crop_size, *o.crop_size);
  fmt::print("{} on {}, {} threads, global batch size {}, {} loader threads, output in {}\n", name(precision), device.string(),
             omp_get_max_threads(), *o.batch_size, o.workers, o.output);
  if (o.data_only) {
    fmt::print("loader alone: {:.0f} img/s\n", trainer.loader_speed());
    return 0;
  }
  if (stored) {
    tell_of_other_classes(*stored, val->class_names());
    const Metrics m = trainer.validate();
    fmt::print("validation of {} images: loss {:.4f}, top-1 error {:.2f} %, top-5 error {:.2f} %\n", m.images, m.loss,
               m.top1_error, m.top5_error);
    if (m.images < val->size()) {
      fmt::print("{} of the {} images could not be read, and do not count:\n{}\n", val->size() - m.images, val->size(),
                 trainer.validation_errors().summary());
    }
    return 0;
  }
  if (o.overfit_batch) {
    trainer.overfit_batch(o.iterations.value_or(200));
    return 0;
  }
  catch_signals();
  const int stopped = trainer.train(stop_signal);
  draw_curves(o.output);
  return stopped == 0 ? 0 : 128 + stopped;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  residua::open_standard_streams();
  try {
    const residua::ParsedOptions parsed = residua::parse_train_options(argc, argv);
    if (parsed.text) {
      std::cout << *parsed.text;
      return 0;
    }
    return residua::run(parsed.options);
  } catch (const residua::UsageError& error) {
    std::cerr << "train-imagenet: " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "train-imagenet: " << error.what() << "\n";
    return 1;
  }
}
