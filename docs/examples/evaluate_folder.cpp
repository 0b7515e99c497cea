// The top-1 error of weights on the val/ folder of a data set: evaluate_folder WEIGHTS DIR
#include <cstdio>
#include <exception>

#include "core/evaluate/evaluator.h"
#include "core/nn/state_dict.h"
#include "models/network.h"

int main(int argc, char** argv) try {
  using namespace residua;
  if (argc != 3) {
    std::fprintf(stderr, "usage: evaluate_folder WEIGHTS DIR\n");
    return 2;
  }
  const Device device = parse_device("auto");
  const Safetensors file = read_weights(argv[1]);
  const Network network = network_from_weights(file, {}, DType::f32);
  ParameterStore store(*network.module, {.device = device, .purpose = Purpose::inference});
  load_weights(file, store, network.family->classifier() + ".");

  const EvaluationOptions how;  // the center of each image
  EvaluationLoader images(open_source("auto", argv[2], Split::val), how.chosen(), network.input.size,
                          {.batch_size = 64, .workers = 2});
  Evaluator evaluator(*network.module, input_format(network, DType::f32, device), device);
  const Metrics metrics = evaluator.evaluate(images);
  std::printf("%ld images: top-1 error %.2f %%, top-5 error %.2f %%\n", metrics.images, metrics.top1_error, metrics.top5_error);
} catch (const std::exception& error) {
  std::fprintf(stderr, "evaluate_folder: %s\n", error.what());
  return 1;
}
