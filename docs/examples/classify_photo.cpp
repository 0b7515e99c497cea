// Names what a photo shows: classify_photo WEIGHTS PHOTO, with weights of train-imagenet.
#include <cstdio>
#include <exception>

#include "models/inference.h"

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: classify_photo WEIGHTS PHOTO\n");
    return 2;
  }
  residua::Inference inference({.weights = argv[1], .device = residua::parse_device("auto")});
  for (const residua::Prediction& prediction : inference.classify(argv[2], 5)) {
    std::printf("%6.2f %%  %s\n", 100 * prediction.probability, prediction.class_name.c_str());
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "classify_photo: %s\n", error.what());
  return 1;
}
