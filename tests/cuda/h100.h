#pragma once

#include <set>
#include <string>
#include <vector>

#include "cuda/libraries/cudnn_graph.h"
#include "models/resnet.h"

namespace residua::cuda::test {

/// cudnn-frontend's serialized properties of an H100, with which plans are built where there is none.
std::string h100_properties();
const CudnnDevice& h100();

inline constexpr device_api::PlanOptions kDefaultPlans;
inline constexpr DType kTypes[] = {DType::f16, DType::bf16, DType::f32};
inline constexpr ConvolutionForm kPlainForms[] = {ConvolutionForm::forward, ConvolutionForm::backward_data,
                                                  ConvolutionForm::backward_weights};
bool is_plain(ConvolutionForm form);

/// The convolutions of a network at its paper's batch size, in a type.
std::set<ConvolutionKey> convolutions(ResNetConfig spec, DType dtype);
/// The convolutions of all networks up to 50 layers, and of the CIFAR ones, with every shortcut they can have; those of a type.
std::vector<ConvolutionKey> convolutions(DType dtype);
ConvolutionKey with_form(ConvolutionKey key, ConvolutionForm form);

/// Whether a plan can be built; where not, the error must name it.
bool builds(ConvolutionGraph& graph, size_t plan);

}  // namespace residua::cuda::test
