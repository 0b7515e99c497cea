#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/distributed/communicator.h"

namespace residua {

/// The ranks differ where they must not. All ranks throw it together.
class Disagreement : public UsageError {
 public:
  using UsageError::UsageError;
};

/// Names and values that all ranks must have alike.
using Fields = std::vector<std::pair<std::string, std::string>>;

/// Throws Disagreement, which names each field that differs with its values and their ranks, unless all ranks have the same.
/// `what` is what the fields are of: "the settings".
void check_agreement(Communicator& communicator, const std::string& what, const Fields& fields);

}  // namespace residua
