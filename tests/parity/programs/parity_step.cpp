// parity-step INPUT OUTPUT: makes the training step of an INPUT that full_size.py wrote and saves "logits" and, under "model.",
// the weights and running statistics after it.
#include <fmt/format.h>

#include <exception>

#include "tests/parity/sgd_step_case.h"

namespace residua {
namespace {

void run_step(const std::string& input, const std::string& output) {
  const test::SgdStepCase step(load_safetensors(input));
  std::vector<NamedTensor> tensors{{"logits", step.logits().detached()}};
  for (const Parameter* parameter : step.store().parameters()) {
    tensors.push_back({"model." + parameter->name, from_values(parameter->logical, to_logical(*parameter, parameter->master))});
  }
  for (const RunningStatistics* layer : step.store().statistics()) {
    tensors.push_back({"model." + layer->name + ".running_mean", layer->running_mean});
    tensors.push_back({"model." + layer->name + ".running_var", layer->running_variance});
  }
  save_safetensors(output, tensors);
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: parity-step INPUT.safetensors OUTPUT.safetensors\n");
    return 2;
  }
  try {
    residua::run_step(argv[1], argv[2]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "parity-step: {}\n", error.what());
    return 1;
  }
  return 0;
}
