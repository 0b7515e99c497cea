// export-onnx: writes the network of a weights file as an ONNX model, for onnxruntime and others.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

#include "models/onnx/export.h"
#include "tools/cli/ranks.h"
#include "tools/cli/run_app.h"
#include "tools/cli/weights_flags.h"

namespace residua {
namespace {

struct Arguments {
  std::string weights;
  WeightsFlags overrides;
  std::string output;
};

void add_options(CLI::App& app, Arguments& a) {
  app.add_option("WEIGHTS", a.weights, "safetensors file with the weights; one from train-imagenet needs no other flag")
      ->required();
  app.add_option("-o,--output", a.output, "ONNX file to write")->required();
  a.overrides.add(app);
}

int write_model(const Arguments& a) {
  check_one_process(this_launch(), "export-onnx");
  const OnnxExported done = export_onnx({.weights = a.weights, .overrides = a.overrides.overrides(), .path = a.output});
  fmt::print("{}: {}, {} nodes, {:.1f} MB\n", a.output, done.network, done.nodes, static_cast<double>(done.bytes) / 1e6);
  return 0;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  CLI::App app(
      "Writes a trained network as an ONNX model. Its input `images` is f32 [batch, 3, size, size], RGB from 0 to 1; its "
      "output `logits` is f32 [batch, classes]. Subtracting the mean and dividing by the standard deviation are part of it.",
      "export-onnx");
  residua::Arguments arguments;
  add_options(app, arguments);
  return residua::run_app(app, argc, argv, [&] { return write_model(arguments); });
}
