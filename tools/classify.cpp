// classify: classifies images with a network trained by train-imagenet or torchvision.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

#include "models/inference.h"
#include "tools/cli/version_flag.h"
#include "tools/cli/warnings.h"

namespace residua {
namespace {

struct Arguments {
  std::string weights;
  ModelOptions model;
  Settings settings;
  std::vector<std::string> images;
  std::string classes_file;
  std::vector<double> mean, std;
  std::optional<int64_t> crop_size;
  int64_t topk = 5;
  bool exif = false;
  std::string device = "auto";
};

void add_options(CLI::App& app, Arguments& a) {
  app.add_option("IMAGE", a.images, "JPEG, PNG, BMP or PNM files")->required();
  app.add_option("--weights", a.weights, "safetensors file with the weights; one from train-imagenet needs no other flag")
      ->required();
  declare(a.settings, a.model);
  for (const auto& setting : a.settings.all()) {
    std::string flags = "--" + setting->name;
    for (const std::string& alias : setting->aliases) {
      flags += (alias.size() == 1 ? ",-" : ",--") + alias;
    }
    app.add_option_function<std::string>(
        flags, [&a, key = setting->name](const std::string& word) { a.settings.assign(key, {word}, Layer::command_line); },
        setting->help);
  }
  app.add_option("--classes", a.classes_file, "text file with one class name per line, in label order")
      ->check(CLI::ExistingFile);
  app.add_option("--crop-size", a.crop_size, "side of the network's input in pixels");
  app.add_option("--mean", a.mean, "mean of each channel: R,G,B, each from 0 to 1")
      ->delimiter(',')
      ->expected(3)
      ->allow_extra_args(false)
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--std", a.std, "standard deviation of each channel: R,G,B")
      ->delimiter(',')
      ->expected(3)
      ->allow_extra_args(false)
      ->check(CLI::Range(1e-4, 1.0));
  app.add_flag("--exif", a.exif, "turn each photo as its EXIF orientation says; by default it is used as it is stored");
  app.add_option("-k,--topk", a.topk, "number of classes to print for each image")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--device", a.device, "device to run on: auto, cpu, cuda or cuda:N")->capture_default_str();
}

std::array<float, 3> in_bytes(const std::vector<double>& values) {
  std::array<float, 3> result{};
  std::ranges::transform(values, result.begin(), [](double value) { return static_cast<float>(255 * value); });
  return result;
}

/// Without control characters, which could move the terminal's cursor or start a new line.
std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char c) { return std::iscntrl(c) != 0; }, '?');
  return text;
}

/// Returns the exit code: 2 if an image could not be read; the others are still classified.
int run(const Arguments& a) {
  NetworkOverrides overrides{.model = a.model.name, .options = a.model.given(a.settings), .size = a.crop_size};
  if (!a.classes_file.empty()) {
    overrides.class_names = read_class_names(a.classes_file);
  }
  if (!a.mean.empty()) {
    const std::array<float, 3> mean = in_bytes(a.mean);
    overrides.mean.emplace(mean.begin(), mean.end());
  }
  if (!a.std.empty()) {
    overrides.std = in_bytes(a.std);
  }
  Inference inference(
      {.weights = a.weights, .overrides = overrides, .device = parse_device(a.device), .turns_by_exif = a.exif});
  int exit_code = 0;
  for (const std::string& image : a.images) {
    try {
      const std::vector<Prediction> predictions = inference.classify(image, a.topk);
      fmt::print("{}\n", image);
      for (const Prediction& prediction : predictions) {
        fmt::print("  {:6.2f} %  {}\n", 100 * prediction.probability, printable(prediction.class_name));
      }
    } catch (const Error& error) {
      std::cerr << "classify: " << error.what() << "\n";
      exit_code = 2;
    }
  }
  return exit_code;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  residua::show_warnings();
  CLI::App app("Classifies images with a trained network and prints the most probable classes of each.", "classify");
  residua::add_version_flag(app);
  residua::Arguments arguments;
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
    return residua::run(arguments);
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    std::cerr << "classify: " << error.what() << "; see classify --help\n";
    return 2;
  } catch (const residua::UsageError& error) {
    std::cerr << "classify: " << (error.setting().empty() ? "" : "--") << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "classify: " << error.what() << "\n";
    return 1;
  }
}
