// parity-step INPUT OUTPUT: makes the training step of an INPUT that full_size.py wrote and saves "logits" and, under "model.",
// the weights and running statistics after it.
#include <fmt/format.h>

#include <exception>

#include "tests/parity/sgd_step_case.h"

namespace residua::test {
namespace {

void run_step(const std::string& input, const std::string& output) {
  const SgdStepCase step(load_safetensors(input));
  const HostArray logits = to_host("logits", step.logits().detached());
  const StateSnapshot state = snapshot(step.store());
  std::vector<HostArrayView> arrays = weight_arrays(state);
  for (HostArrayView& array : arrays) {
    array.name = "model." + array.name;
  }
  arrays.push_back(view(logits, "logits"));
  save_safetensors(output, arrays);
}

}  // namespace
}  // namespace residua::test

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: parity-step INPUT.safetensors OUTPUT.safetensors\n");
    return 2;
  }
  try {
    residua::test::run_step(argv[1], argv[2]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "parity-step: {}\n", error.what());
    return 1;
  }
  return 0;
}
