#pragma once

#include <string>

#include "core/io/safetensors.h"
#include "core/nn/parameter_store.h"

namespace residua {

/// Writes a model's weights and running statistics into a safetensors file, under torchvision's names and in its layout
/// (convolutions OIHW, all f32, `num_batches_tracked` i64), so that PyTorch's `load_state_dict(strict=True)` takes them.
/// Replaces `path` in one step.
void save_model_weights(const std::string& path, const ParameterStore& store, const SafetensorsMetadata& metadata);

/// Takes the weights out of what save_model_weights() or torchvision wrote, in f32, f16 or bf16; `num_batches_tracked` may be
/// absent. Nothing is changed unless the whole file fits: fails with UsageError, in one line, on missing, unexpected or
/// misshapen tensors, and says so when it is the number of classes that differs.
void load_model_weights(const Safetensors& file, ParameterStore& store);
inline void load_model_weights(const std::string& path, ParameterStore& store) {
  load_model_weights(load_safetensors(path), store);
}

}  // namespace residua
