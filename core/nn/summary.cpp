#include "core/nn/summary.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/nn/module.h"

namespace residua {

std::string ModelSummary::table() const {
  size_t name_width = 5;
  size_t kind_width = 4;
  size_t shape_width = 6;
  for (const LayerSummary& layer : layers) {
    name_width = std::max(name_width, layer.name.size());
    kind_width = std::max(kind_width, layer.kind.size());
    shape_width = std::max(shape_width, layer.output.string().size());
  }
  const auto line = [&](const auto& name, const auto& kind, const auto& shape, const auto& parameters, const auto& cost) {
    return fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>12}  {:>16}\n", name, name_width, kind, kind_width, shape, shape_width,
                       parameters, cost);
  };
  std::string text = line("layer", "kind", "output", "parameters", "multiply-adds");
  for (const LayerSummary& layer : layers) {
    text += line(layer.name, layer.kind, layer.output.string(), layer.parameters, layer.multiply_adds);
  }
  text += fmt::format("input {}, output {}: {} parameters ({:.2f} M), {:.3f} G multiply-adds = {:.3f} GFLOP forward\n",
                      input.string(), output.string(), parameters, static_cast<double>(parameters) * 1e-6,
                      static_cast<double>(multiply_adds) * 1e-9, static_cast<double>(multiply_adds) * 2e-9);
  return text;
}

ModelSummary summarize(const Module& model, const Shape& input) {
  ModelSummary summary;
  summary.input = input;
  summary.output = model.summarize("", input, summary.layers);
  for (const LayerSummary& layer : summary.layers) {
    summary.parameters += layer.parameters;
    summary.multiply_adds += layer.multiply_adds;
  }
  return summary;
}

}  // namespace residua
