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

/// A named network of a family.
struct ModelInfo {
  std::string name;
  std::string description;  // one line, for lists
  int64_t image_size;       // side in pixels of the images that it was designed for; it may accept others
  int64_t classes;          // number of classes that it was designed for; it may have others
};

/// A family of networks with common options. To add one, write a file in models/ that defines the family and, at namespace
/// scope, `const auto kFamily = registered<ModelFamily, MyFamily>("name", "one line")`. Its models and options then appear in
/// every program.
class ModelFamily {
 public:
  virtual ~ModelFamily() = default;

  virtual std::vector<ModelInfo> models() const = 0;

  /// Declares the options, which are members of this object. An option's name is its setting and, with _ for -, its key in the
  /// metadata of weights. Its value is one word. No other family may have an option of the same name.
  virtual void declare(Settings& /*settings*/) {}
  /// Sets options that depend on the model. Fails with UsageError if the model cannot have the options.
  virtual void resolve(const std::string& /*model*/) {}

  /// Makes the network with these options, for activations of type `compute`.
  virtual std::unique_ptr<Module> make(const std::string& model, int64_t classes, DType compute) const = 0;
  /// Channels of the network's input tensor: red, green, blue, then zeros.
  virtual int64_t input_channels(DType /*compute*/) const { return 3; }
  /// The full name of the classifier layer, whose `weight` is [classes, features]: "fc".
  virtual std::string classifier() const = 0;

  /// Describes the model and its resolved options in one line, by which checkpoints tell networks apart. By default "model,
  /// option value, ...".
  virtual std::string describe(const std::string& model);
};

}  // namespace residua
