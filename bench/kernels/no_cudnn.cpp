// Builds without cuDNN have nothing to compare with.
#include "bench/kernels/cudnn.h"

namespace residua::bench {

Maker cudnn_batch_norm(Pass, NormalizationForm, int64_t, int64_t) { return {}; }
Maker cudnn_pool(Pass, Pool, const PoolShape&) { return {}; }
std::string cudnn_version() { return {}; }

}  // namespace residua::bench
