#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/kernels/matmul.h"
#include "cuda/libraries/autotune.h"
#include "cuda/libraries/matmul_key.h"

namespace residua::cuda {

/// A library's algorithms for one matmul.
class MatmulAlgorithms {
 public:
  virtual ~MatmulAlgorithms() = default;

  virtual size_t count() const = 0;
  virtual std::string name(size_t i) const = 0;
  /// Throws Error with the reason if algorithm `i` cannot be used.
  virtual void check_usable(size_t i) const = 0;
  virtual void run(size_t i, const Matmul& args, Stream& stream) const = 0;
};

/// The candidates for a matmul: the algorithms that `make` finds (it throws Error with the reason if there are none). With a
/// bias also "composed": the product without bias and a kernel that adds the bias, which needs less support from the library.
std::vector<Candidate<Matmul>> matmul_candidates(const MatmulKey& key,
                                                 const std::function<std::shared_ptr<const MatmulAlgorithms>()>& make);

}  // namespace residua::cuda
