#pragma once

#include <set>
#include <string>
#include <vector>

#include "cuda/libraries/cudnn_graph.h"
#include "models/resnet.h"

namespace residua::test {

/// cudnn-frontend's serialized properties of an H100, with which plans are built where there is none.
std::string h100_properties();
const cuda::CudnnDevice& h100();

inline constexpr device_api::PlanOptions kDefaultPlans;
inline constexpr DType kTypes[] = {DType::f16, DType::bf16, DType::f32};
inline constexpr cuda::ConvolutionForm kPlainForms[] = {cuda::ConvolutionForm::forward, cuda::ConvolutionForm::backward_data,
                                                        cuda::ConvolutionForm::backward_weights};
bool is_plain(cuda::ConvolutionForm form);

/// The convolutions of a network at its paper's batch size, in a type.
std::set<cuda::ConvolutionKey> convolutions(ResNetConfig spec, DType dtype);
/// The convolutions of all networks up to 50 layers, and of the CIFAR ones, with every shortcut they can have; those of a type.
std::vector<cuda::ConvolutionKey> convolutions(DType dtype);
cuda::ConvolutionKey with_form(cuda::ConvolutionKey key, cuda::ConvolutionForm form);

/// Whether a plan can be built; where not, the error must name it.
bool builds(cuda::ConvolutionGraph& graph, size_t plan);

}  // namespace residua::test
