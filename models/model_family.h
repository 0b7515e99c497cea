#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/dtype.h"
#include "core/base/registry.h"
#include "core/config/settings.h"
#include "core/nn/module.h"

namespace residua {

/// A network that a family knows by name.
struct ModelInfo {
  std::string name;
  std::string description;  // one line for lists
  int64_t image_size;       // pixels a side of the images that it was designed for; it may take others
  int64_t classes;          // likewise
};

/// Networks that are made in one way, with the options that a user may choose. To add one, write a file in models/ that defines
/// the family and, at namespace scope, `const auto kFamily = registered<ModelFamily, MyFamily>("name", "one line")`: its models
/// and its options then appear in every program.
class ModelFamily {
 public:
  virtual ~ModelFamily() = default;

  virtual std::vector<ModelInfo> models() const = 0;

  /// Declares the options, which are members of this object. Their names are settings and, with _ for -, keys of the metadata
  /// of weights; each takes one word. No other family may have one of the same name.
  virtual void declare(Settings& /*settings*/) {}
  /// Sets options that were left to the model. Fails with UsageError when the model cannot have the options.
  virtual void resolve(const std::string& /*model*/) {}

  /// The network with the options, as its input is stored for activations of type `compute`.
  virtual std::unique_ptr<Module> make(const std::string& model, int64_t classes, DType compute) const = 0;
  /// Channels of the tensor that the network takes: red, green, blue and then zeros.
  virtual int64_t input_channels(DType /*compute*/) const { return 3; }
  /// The name, from the root, of the layer whose `weight` is [classes, features]: "fc".
  virtual std::string classifier() const = 0;

  /// The model and its resolved options in one line, by which a run's checkpoints tell networks apart. By default "model,
  /// option value, ...".
  virtual std::string describe(const std::string& model);
};

}  // namespace residua
