#pragma once

#include <cstdint>
#include <string>

#include "bench/kernels/kernel_case.h"
#include "core/kernels/pooling.h"
#include "core/tensor/shape.h"

/// cuDNN's own operations, for comparison. Without CUDA, or if cuDNN lacks the operation for a type or size, makers are empty
/// or return no work.
namespace residua::bench {

enum class Pass : uint8_t { forward, backward };
enum class NormalizationForm : uint8_t { plain, relu, add_relu };
enum class Pool : uint8_t { max, average };

/// Training: statistics and normalization, or the whole backward pass.
Maker cudnn_batch_norm(Pass pass, NormalizationForm form, const Shape& shape);
/// Only the normalization, which cuDNN has for inference; it takes variances instead of rstd.
Maker cudnn_batch_norm_apply(const Shape& shape);
Maker cudnn_pool(Pass pass, Pool pool, const PoolShape& shape);
Maker cudnn_relu(Pass pass, const Shape& shape);
Maker cudnn_add(const Shape& shape);
Maker cudnn_fill(const Shape& shape);
Maker cudnn_column_sum(int64_t rows, int64_t columns);

/// "9.19.0", or "" in a build without cuDNN.
std::string cudnn_version();

}  // namespace residua::bench
