#include "core/train/train_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <sstream>

#include "core/tensor/device_api.h"
#include "core/tensor/error.h"

namespace residua {
namespace {

/// A number in [low, high]; NaN and infinity are in no range.
CLI::Validator in_range(double low, double high, const std::string& wanted) {
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        const bool good = end != text.c_str() && *end == '\0' && std::isfinite(value) && value >= low && value <= high;
        return good ? std::string() : fmt::format("got '{}', wanted {}", text, wanted);
      },
      "");
}

constexpr double kMost = std::numeric_limits<int32_t>::max();
const CLI::Validator& non_negative() {
  static const CLI::Validator validator = in_range(0, kMost, "a number from 0 to 2147483647");
  return validator;
}
const CLI::Validator& positive() {
  static const CLI::Validator validator = in_range(1e-30, kMost, "a number above 0, at most 2147483647");
  return validator;
}
CLI::Validator whole(double low, double high) {
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        char* end = nullptr;
        const long long value = std::strtoll(text.c_str(), &end, 10);
        const bool good =
            end != text.c_str() && *end == '\0' && static_cast<double>(value) >= low && static_cast<double>(value) <= high;
        const bool octal = text.size() > 1 && text[0] == '0';  // CLI11 takes 010 for 8
        return good && !octal ? std::string()
                              : fmt::format("got '{}', wanted a whole number from {:.0f} to {:.0f}", text, low, high);
      },
      "");
}

/// One of a list of words.
CLI::Validator one_of(const std::vector<std::string>& words) {
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        return std::ranges::find(words, text) != words.end() ? std::string()
                                                             : fmt::format("got '{}', wanted {}", text, fmt::join(words, ", "));
      },
      fmt::format("{}", fmt::join(words, "|")));
}

/// Makes an option take one word, which may be a list with commas: what follows is not its own.
CLI::Option* list_in_one_word(CLI::Option* option) {
  return option->delimiter(',')->expected(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

constexpr const char* kMeanWanted = "pixel, channel, or three numbers R,G,B from 0 to 1";

/// One of the words of --mean.
CLI::Validator mean_word() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        std::string number = text;
        const bool good = text == "pixel" || text == "channel" || in_range(0, 1, "")(number).empty();
        return good ? std::string() : fmt::format("got '{}', wanted {}", text, kMeanWanted);
      },
      "");
}

/// "auto" or a file that there is.
CLI::Validator resume_word() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        return text == "auto" || CLI::ExistingFile(text).empty()
                   ? std::string()
                   : fmt::format("got '{}', wanted auto or a file that exists, a run's checkpoint.safetensors", text);
      },
      "");
}

void check_steps(const std::vector<double>& steps) {
  if (!std::ranges::is_sorted(steps, std::ranges::less_equal())) {
    fail_usage("--lr-steps: got {}, wanted each larger than the one before; see train-imagenet --help", fmt::join(steps, ","));
  }
}

void check_std(const std::vector<double>& numbers) {
  if (!numbers.empty() && numbers.size() != 3) {
    fail_usage("--std: got {}, wanted three numbers R,G,B; see train-imagenet --help", fmt::join(numbers, ","));
  }
}

void check_mean(const std::vector<std::string>& words) {
  const bool one = words.size() == 1 && (words[0] == "pixel" || words[0] == "channel");
  const bool three = words.size() == 3 &&
                     std::ranges::none_of(words, [](const std::string& word) { return word == "pixel" || word == "channel"; });
  if (!words.empty() && !one && !three) {
    fail_usage("--mean: got '{}', wanted {}; see train-imagenet --help", fmt::join(words, ","), kMeanWanted);
  }
}

void add_options(CLI::App& app, TrainOptions& o) {
  const auto action = [&app](const char* flag, bool& value, const char* text) {
    app.add_flag(flag, value, text)->configurable(false)->group("Actions");
  };
  app.add_option("DIR", o.directory, "folder of the data set; may be left out for fashion-mnist and synthetic");
  app.add_option("--dataset", o.dataset, "layout of DIR")
      ->check(one_of({"auto", "imagefolder", "cifar10", "cifar100", "fashion-mnist", "synthetic"}))
      ->group("Data");
  app.add_option("--augment", o.augment,
                 "none, flip, pad-crop, scale-crop (the paper's, colours included) or random-resized-crop; default: scale-crop "
                 "for photos, else pad-crop")
      ->group("Data");
  app.add_flag("--no-shuffle", o.no_shuffle, "train in the order of the data set")->group("Data");
  app.add_option("--crop-size", o.crop_size,
                 "pixels of the network's input; default: 224 for photos, else as large as the images")
      ->check(whole(8, 4096))
      ->group("Data");
  list_in_one_word(
      app.add_option(
          "--mean", o.mean,
          "what is subtracted: R,G,B, 0 to 1; channel, measured; or pixel, the mean image (section 3.4 of the paper); "
          "default: ImageNet's for photos, else pixel"))
      ->check(mean_word())
      ->group("Data");
  list_in_one_word(app.add_option("--std", o.std, "R,G,B, 0 to 1; default: as for --mean"))
      ->check(in_range(1e-4, 1, "three numbers above 0, at most 1"))
      ->group("Data");
  app.add_option("-j,--workers", o.workers, "threads that read and decode; 0: the training thread itself")
      ->check(whole(0, 1024))
      ->group("Data");
  app.add_option("--max-bad-images", o.max_bad_images, "unreadable images that are skipped before the run ends")
      ->check(whole(0, kMost))
      ->group("Data");
  app.add_option("--synthetic-classes", o.synthetic_classes, "classes of the synthetic set")
      ->check(whole(2, 1000))
      ->group("Data");
  app.add_option("--synthetic-images", o.synthetic_images, "training images of the synthetic set")
      ->check(whole(16, kMost))
      ->group("Data");

  app.add_option("-m,--model", o.model, "name from --list-models; default: resnet18 for photos, else resnet20")->group("Model");
  app.add_option("--shortcut", o.shortcut, "A, B or C (section 4.1 of the paper); default: the model's")
      ->check(one_of({"A", "B", "C"}))
      ->group("Model");
  app.add_option("--shortcut-pad", o.shortcut_pad, "where option A's new channels go")
      ->check(one_of({"end", "both"}))
      ->group("Model");
  app.add_option("--shortcut-pool", o.shortcut_pool, "how option A halves the image")
      ->check(one_of({"stride", "average"}))
      ->group("Model");
  app.add_option("--bottleneck-stride", o.bottleneck_stride, "conv3x3 (torchvision) or conv1x1 (the paper)")
      ->check(one_of({"conv3x3", "conv1x1"}))
      ->group("Model");
  app.add_option("--init", o.initialization, "He initialisation: fan-in (the paper) or fan-out (torchvision)")
      ->check(one_of({"fan-in", "fan-out"}))
      ->group("Model");
  app.add_option("--weights", o.weights, "safetensors file to start from")->group("Model");

  app.add_option("-b,--batch-size", o.batch_size, "images of a step; default: 256 photos, else 128")
      ->check(whole(1, 1 << 20))
      ->group("Training");
  app.add_option("--epochs", o.epochs, "passes over the training set, may be a fraction; default: 120 for photos")
      ->check(positive())
      ->group("Training");
  app.add_option("--iterations", o.iterations, "steps; wins over --epochs; default: 64000, except for photos")
      ->check(whole(1, 1e12))
      ->group("Training");
  app.add_option("--lr", o.learning_rate,
                 "learning rate; default: 0.1, for batches smaller than the paper's (256 photos, else 128) in proportion")
      ->check(positive())
      ->group("Training");
  app.add_option("--momentum", o.momentum, "of SGD, as PyTorch has it")
      ->check(in_range(0, 1, "a number from 0 to 1"))
      ->group("Training");
  app.add_option("--weight-decay,--wd", o.weight_decay, "times the weight is added to its gradient")
      ->check(non_negative())
      ->group("Training");
  app.add_option("--label-smoothing", o.label_smoothing, "share of the target that goes to all classes alike")
      ->check(in_range(0, 1, "a number from 0 to 1"))
      ->group("Training");
  app.add_option("--lr-schedule", o.schedule, "how the learning rate falls")
      ->check(one_of({"step", "plateau", "cosine", "constant"}))
      ->group("Training");
  list_in_one_word(
      app.add_option(
          "--lr-steps", o.schedule_steps,
          "points where step multiplies the rate: epochs, or iterations with --iterations; default: 1/2 and 3/4 of the run"))
      ->check(positive())
      ->group("Training");
  app.add_option("--lr-factor", o.schedule_factor, "of step and plateau")
      ->check(in_range(1e-30, 1, "a number above 0, at most 1"))
      ->group("Training");
  app.add_option("--warmup-iterations", o.warmup_iterations, "steps of the warm-up")->check(whole(0, 1e12))->group("Training");
  app.add_option("--warmup", o.warmup, "linear, or constant: the paper's for 110 layers")
      ->check(one_of({"linear", "constant"}))
      ->group("Training");
  app.add_option("--warmup-lr", o.warmup_rate, "rate of, or at the start of, the warm-up; default: a tenth of --lr")
      ->check(positive())
      ->group("Training");
  app.add_option("--precision", o.precision, "of activations and their gradients; weights and sums stay fp32")
      ->check(one_of({"auto", "fp32", "bf16", "fp16"}))
      ->group("Training");
  app.add_option("--device", o.device, "auto, cpu, cuda or cuda:N")->group("Training");
  app.add_option("--cuda-graph", o.cuda_graph, "replay the whole step as one graph on a CUDA device")
      ->check(one_of({"on", "off"}))
      ->group("Training");
  app.add_flag("--allow-nondeterministic", o.allow_nondeterministic,
               "on a CUDA device, also use convolutions whose results may differ in their last bits from run to run")
      ->group("Training");
  app.add_flag("--allow-runtime-compilation", o.allow_runtime_compilation,
               "on a CUDA device, also use convolutions that cuDNN compiles first, which takes a minute or more; some of them "
               "are not deterministic")
      ->group("Training");
  app.add_option("--threads", o.threads, "of the CPU device; 0: one a core")->check(whole(0, 1024))->group("Training");
  app.add_option("--seed", o.seed, "of the first weights, the order of the images and their augmentation")
      ->check(whole(0, 1e15))
      ->group("Training");

  app.add_option("-o,--output", o.output, "folder for config, logs, curves and weights; default: runs/<model>-<data set>")
      ->group("Output");
  app.add_option("--resume", o.resume,
                 "auto: go on from --output if there is a checkpoint; or a checkpoint file; with the settings of the "
                 "config.toml beside it, unless --config names another, and flags win over both")
      ->check(resume_word())
      ->configurable(false)
      ->group("Output");
  app.add_option("--log-every", o.log_every, "iterations between progress lines")->check(whole(1, kMost))->group("Output");
  app.add_option("--evaluate-every", o.evaluate_every, "epochs between validations")->check(positive())->group("Output");

  action("--evaluate", o.evaluate_only, "validate --weights and stop; what is not given comes from the file");
  action("--list-models", o.list_models, "print the names of all models and stop");
  action("--summary", o.summary, "print layers, shapes, parameters and FLOPs and stop");
  action("--overfit-batch", o.overfit_batch, "train on the first batch only: its loss must go to zero");
  action("--data-only", o.data_only, "run the loader alone for one epoch and print its speed");
}

std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  while (!text.empty() && text.back() == ' ') {
    text.pop_back();
  }
  return text;
}

/// CLI11 writes settings that nobody set as `key=""` and `key="[]"`, and could not read them back. Nor does `overruled` count.
std::string without_unset_keys(const std::string& toml, const std::string& overruled) {
  std::string kept;
  std::istringstream lines(toml);
  for (std::string line; std::getline(lines, line);) {
    if (!line.ends_with("=\"\"") && !line.ends_with("=\"[]\"") && (overruled.empty() || !line.starts_with(overruled + "="))) {
      kept += line + "\n";
    }
  }
  return kept;
}

/// The command line alone; what is wrong with it is told by who reads it together with the file.
TrainOptions flags_alone(int argc, const char* const* argv, std::string& config) {
  TrainOptions o;
  CLI::App app;
  add_options(app, o);
  app.add_option("--config", config);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError&) {
    return {};
  }
  return o;
}

/// The settings that a run goes on with, or empty: the config.toml beside the checkpoint.
std::string config_of_resumed(const TrainOptions& o) {
  const std::string checkpoint = checkpoint_to_resume(o);
  const std::filesystem::path config = std::filesystem::path(checkpoint).parent_path() / "config.toml";
  return !checkpoint.empty() && std::filesystem::exists(config) ? config.string() : "";
}

/// The settings of a file alone, or none where it cannot be read, of which who reads it with the command line tells.
TrainOptions settings_alone(const std::string& config) {
  std::string unused;
  const std::array<const char*, 3> words = {"train-imagenet", "--config", config.c_str()};
  TrainOptions o;
  CLI::App app;
  add_options(app, o);
  app.set_config("--config", unused);
  try {
    app.parse(words.size(), words.data());
  } catch (const CLI::ParseError&) {
    return {};
  }
  return o;
}

/// --lr-steps of a file are in the file's unit of length.
void check_unit_of_steps(const TrainOptions& flags, const TrainOptions& o, const std::string& config) {
  if (config.empty() || !flags.schedule_steps.empty() || o.schedule_steps.empty()) {
    return;
  }
  const bool iterations = settings_alone(config).iterations.has_value();
  if (iterations != o.iterations.has_value()) {
    fail_usage("--{}: the --lr-steps {} of {} are in {}: give --lr-steps too", iterations ? "epochs" : "iterations",
               fmt::join(o.schedule_steps, ","), config, iterations ? "iterations" : "epochs");
  }
}

}  // namespace

std::string checkpoint_to_resume(const TrainOptions& o) {
  if (o.resume != "auto") {
    return o.resume;
  }
  const std::filesystem::path file = std::filesystem::path(o.output) / "checkpoint.safetensors";
  return !o.output.empty() && std::filesystem::exists(file) ? file.string() : "";
}

ParsedOptions parse_train_options(int argc, const char* const* argv) {
  std::string config;
  const TrainOptions flags = flags_alone(argc, argv, config);
  if (config.empty()) {
    config = config_of_resumed(flags);
  }
  ParsedOptions parsed;
  TrainOptions& o = parsed.options;
  CLI::App app(
      "Trains the plain and residual networks of He et al. 2015 on ImageNet-style folders, CIFAR, Fashion-MNIST or synthetic "
      "images.",
      "train-imagenet");
  app.option_defaults()->always_capture_default();
  add_options(app, o);
  app.set_config("--config", config, "TOML file with any of these settings by their long names")
      ->configurable(false)
      ->group("Actions");
  app.allow_config_extras(CLI::config_extras_mode::error);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    parsed.text = app.help();
    return parsed;
  } catch (const CLI::ParseError& error) {
    fail_usage("{}; see train-imagenet --help", one_line(error.what()));
  }
  check_mean(o.mean);
  check_std(o.std);
  check_steps(o.schedule_steps);
  if (o.resume == "auto" && o.output.empty()) {
    fail_usage("--resume auto goes on from the folder of --output, which was not given");
  }
  if (!o.weights.empty() && checkpoint_to_resume(o).empty() && !std::filesystem::is_regular_file(o.weights)) {
    fail_usage("--weights: got '{}', wanted a file that exists", o.weights);
  }
  // A length on the command line wins over the file's, in whichever of the two units that is.
  const bool overruled = flags.epochs && !flags.iterations && o.iterations;
  if (overruled) {
    o.iterations.reset();
  }
  check_unit_of_steps(flags, o, config);
  o.toml = without_unset_keys(app.config_to_str(true, false), overruled ? "iterations" : "");
  return parsed;
}

void fill_defaults(TrainOptions& o, bool photos) {
  const auto fill = [](auto& option, auto value) {
    if (!option) {
      option = value;
    }
  };
  fill(o.model, photos ? "resnet18" : "resnet20");
  const int64_t papers_batch = photos ? 256 : 128;
  fill(o.batch_size, papers_batch);
  // The linear rule of Goyal et al. 2017, downwards: upwards it needs a warm-up.
  fill(o.learning_rate, 0.1 * std::min(1.0, static_cast<double>(*o.batch_size) / static_cast<double>(papers_batch)));
  fill(o.augment, photos ? "scale-crop" : "pad-crop");
  if (!o.epochs && !o.iterations) {
    if (photos) {
      o.epochs = 120;
    } else if (!o.schedule_steps.empty()) {
      fail_usage("--lr-steps {}: give the length too, --epochs for steps in epochs or --iterations for steps in iterations",
                 fmt::join(o.schedule_steps, ","));
    } else {
      o.iterations = 64000;
    }
  }
}

DType parse_precision(const std::string& name, Device device) {
  if (name == "auto") {
    return device_api::native(device, DType::bf16) ? DType::bf16 : DType::f32;
  }
  if (name == "fp32") {
    return DType::f32;
  }
  if (name == "bf16") {
    return DType::bf16;
  }
  if (name == "fp16") {
    return DType::f16;
  }
  fail_usage("precision '{}' is unknown: wanted auto, fp32, bf16 or fp16", name);
}

ScheduleOptions schedule_options(const TrainOptions& o, int64_t iterations_per_epoch, int64_t total_iterations) {
  ScheduleOptions schedule{
      .kind = parse_schedule(o.schedule), .rate = *o.learning_rate, .boundaries = {}, .factor = o.schedule_factor};
  schedule.total_iterations = total_iterations;
  schedule.warmup = parse_warmup(o.warmup);
  schedule.warmup_iterations = o.warmup_iterations;
  schedule.warmup_rate = o.warmup_rate.value_or(0.1 * *o.learning_rate);  // the paper's 0.01 for its 0.1
  const double unit = o.iterations ? 1.0 : static_cast<double>(iterations_per_epoch);
  for (const double step : o.schedule_steps) {
    schedule.boundaries.push_back(std::llround(step * unit));
  }
  if (o.schedule_steps.empty() && total_iterations >= 4) {
    schedule.boundaries = {total_iterations / 2, total_iterations * 3 / 4};
  }
  return schedule;
}

}  // namespace residua
