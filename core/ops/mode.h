#pragma once

namespace residua {

/// Which statistics batch normalization uses: those of the batch, or the running ones.
enum class Mode { train, evaluate };

}  // namespace residua
