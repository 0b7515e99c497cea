#pragma once

#include <cstdint>
#include <string>

#include "core/nn/parameter_store.h"
#include "models/network.h"

namespace residua {

struct OnnxModel {
  std::string bytes;  // the content of the file
  int64_t nodes = 0;
};

/// A network as an ONNX model of opset 13. The input `images` is f32 [batch, 3, size, size]: red, green and blue from 0 to 1,
/// as torchvision's ToTensor gives them. The graph itself subtracts the mean and divides by the standard deviation. The output
/// `logits` is f32 [batch, classes]. The batch size is free. Batch normalization stays a node of its own, with its running
/// statistics. The model's metadata hold the class names and how to resize a photo: see docs/formats.md.
///
/// The graph is the trace of one forward pass, so a model family needs no code for it. The network and the store must be for
/// fp32 on the CPU. Throws Error, which names the operation, if the network uses one that has no form in ONNX.
OnnxModel onnx_model(Network& network, const ParameterStore& store);

/// Writes the ONNX model of a weights file to `path`, which it replaces atomically. Fails as network_from_weights() and
/// load_weights() do.
struct OnnxExport {
  std::string weights;
  NetworkOverrides overrides = {};
  std::string path;
};
struct OnnxExported {
  std::string network;  // described in one line
  int64_t nodes = 0;
  int64_t bytes = 0;
};
OnnxExported export_onnx(const OnnxExport& options);

}  // namespace residua
