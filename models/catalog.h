#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/kinds.h"
#include "core/config/settings.h"
#include "models/model_family.h"

namespace residua {

/// A named network.
struct CatalogEntry {
  ModelInfo model;
  std::string family;  // registered name
};

/// All named networks, family by family.
const std::vector<CatalogEntry>& model_catalog();

/// The entry of a model. Fails with UsageError, which suggests similar names, if there is none.
const CatalogEntry& catalog_entry(const std::string& model);

/// The model settings: its name, and the options of every family.
class ModelOptions {
 public:
  std::string name;  // empty: not chosen

  /// Declares "model" and the options of every family. Must outlive the settings.
  void declare(Settings& settings);
  /// The families' options that a recipe, a file or the command line has set in `settings`.
  std::vector<Assignment> given(const Settings& settings) const;
  /// The family of `name` with the chosen options, resolved. Fails with UsageError on an unknown model and on an option that
  /// the model does not have.
  std::unique_ptr<ModelFamily> family() const;

 private:
  Kinds<ModelFamily> families_;  // with their own options
};
inline void declare(Settings& settings, ModelOptions& options) { options.declare(settings); }

/// Options of a family by setting name, and the file that they come from, if any.
struct OptionLines {
  std::vector<Assignment> lines = {};
  std::string origin = {};
};

/// The family of a model with its default options overridden by each layer in turn, resolved. Fails with UsageError on an
/// option that the model does not have, unless it has the value that is another family's default.
std::unique_ptr<ModelFamily> make_family(const std::string& model, const std::vector<OptionLines>& layers);

/// The current options of a family, without unset ones.
std::vector<Assignment> options_of(ModelFamily& family);

}  // namespace residua
