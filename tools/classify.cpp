// classify: classifies images with a network trained by train-imagenet or torchvision.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/printable.h"
#include "models/inference.h"
#include "tools/cli/run_app.h"
#include "tools/cli/weights_flags.h"

namespace residua {
namespace {

struct Arguments {
  std::string weights;
  WeightsFlags overrides;
  std::vector<std::string> images;
  int64_t topk = 5;
  std::optional<bool> exif;
  std::string device = "auto";
};

void add_options(CLI::App& app, Arguments& a) {
  app.add_option("IMAGE", a.images, "JPEG, PNG, BMP or PNM files")->required();
  app.add_option("--weights", a.weights, "safetensors file with the weights; one from train-imagenet needs no other flag")
      ->required();
  a.overrides.add(app);
  app.add_flag("--exif", a.exif, "rotate each photo by its EXIF orientation; the default is as in training");
  app.add_option("-k,--topk", a.topk, "number of classes to print for each image")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--device", a.device, "device to run on: auto, cpu, cuda or cuda:N")->capture_default_str();
}

/// Returns the exit code: 2 if an image could not be read; the others are still classified.
int run(const Arguments& a) {
  NetworkOverrides overrides = a.overrides.overrides();
  overrides.turned_by_exif = a.exif;
  Inference inference({.weights = a.weights, .overrides = std::move(overrides), .device = parse_device(a.device)});
  int exit_code = 0;
  for (const std::string& image : a.images) {
    try {
      const std::vector<Prediction> predictions = inference.classify(image, a.topk);
      fmt::print("{}\n", image);
      for (const Prediction& prediction : predictions) {
        fmt::print("  {:6.2f} %  {}\n", 100 * prediction.probability, printable_line(prediction.class_name));
      }
    } catch (const Error& error) {
      std::cerr << printable(std::string("classify: ") + error.what()) + "\n";
      exit_code = 2;
    }
  }
  return exit_code;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  CLI::App app("Classifies images with a trained network and prints the most probable classes of each.", "classify");
  residua::Arguments arguments;
  add_options(app, arguments);
  return residua::run_app(app, argc, argv, [&] { return residua::run(arguments); });
}
