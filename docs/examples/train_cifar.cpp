// Trains a network on CIFAR-10 by the paper's recipe:
//   train_cifar DIR [setting=value ...]      for example: train_cifar cifar-10-batches-bin model=resnet56 epochs=20
// The settings are those of `train-imagenet --help`.
#include <cstdio>
#include <exception>
#include <string>

#include "core/train/run_setup.h"
#include "core/train/trainer.h"

using namespace residua;

struct Printer : RunObserver {
  void trained(const TrainRecord& r, int64_t total, double) override {
    std::printf("iteration %ld of %ld: training error %.2f %%\n", r.iteration, total, r.top1_error);
  }
  void evaluated(const EvaluationRecord& r) override { std::printf("%s error %.2f %%\n", r.type.c_str(), r.top1_error); }
};

int main(int argc, char** argv) try {
  RunConfig config;
  Settings settings;
  declare(settings, config);
  settings.assign({{"DIR", {argc > 1 ? argv[1] : ""}}, {"dataset", {"cifar10"}}, {"recipe", {"cifar-he2015"}}}, Layer::recipe,
                  "this example");
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    settings.assign(word.substr(0, word.find('=')), {word.substr(word.find('=') + 1)}, Layer::command_line);
  }
  settle(settings, config);

  const Device device = parse_device(config.training.device);
  const DType precision = compute_type(config.training.precision, device);
  const RunData data = open_data(config);
  settle_with_data(settings, config, data);
  Network network = make_network(config, data.train->class_names(), precision);
  measure_input(config, data.train, network.input);

  const RunFolder folder(config.output.folder, Existing::start);
  Printer printer;
  Trainer trainer({network, config, device, precision, data, folder, printer});
  const volatile std::sig_atomic_t stop = 0;  // a signal handler may set it
  return trainer.train(stop);
} catch (const std::exception& error) {
  std::fprintf(stderr, "train_cifar: %s\n", error.what());
  return 1;
}
