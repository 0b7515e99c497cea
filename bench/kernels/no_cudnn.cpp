// The comparisons of a build without cuDNN: none.
#include "bench/kernels/cudnn.h"

namespace residua::bench {

Maker cudnn_batch_norm(Pass, NormalizationForm, const Shape&) { return {}; }
Maker cudnn_batch_norm_apply(const Shape&) { return {}; }
Maker cudnn_pool(Pass, Pool, const PoolShape&) { return {}; }
Maker cudnn_relu(Pass, const Shape&) { return {}; }
Maker cudnn_add(const Shape&) { return {}; }
Maker cudnn_fill(const Shape&) { return {}; }
Maker cudnn_column_sum(int64_t, int64_t) { return {}; }
std::string cudnn_version() { return {}; }

}  // namespace residua::bench
