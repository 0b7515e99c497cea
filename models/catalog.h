#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/kinds.h"
#include "core/config/settings.h"
#include "models/model_family.h"

namespace residua {

/// A network that is known by name.
struct CatalogEntry {
  ModelInfo model;
  std::string family;  // registered name
};

/// All of them, family by family.
const std::vector<CatalogEntry>& model_catalog();

/// The entry of a model. Fails with UsageError that names the nearest ones when there is none of that name.
const CatalogEntry& catalog_entry(const std::string& model);

/// The choice of a model: its name, and the options of every family.
class ModelOptions {
 public:
  std::string name;  // empty: not chosen

  /// Declares "model" and the options of every family. This object must outlive the settings.
  void declare(Settings& settings);
  /// The families' options that `settings` got from a recipe, a file or the command line.
  std::vector<Assignment> given(const Settings& settings) const;
  /// The family of `name` with the options that were chosen, resolved. Fails with UsageError on an unknown model and on an
  /// option that it does not have.
  std::unique_ptr<ModelFamily> family() const;

 private:
  Kinds<ModelFamily> families_;  // with their own options
};
inline void declare(Settings& settings, ModelOptions& options) { options.declare(settings); }

/// Options of a family by the names of their settings, and the file that they are from, if any.
struct OptionLines {
  std::vector<Assignment> lines = {};
  std::string origin = {};
};

/// The family of a model, with its options at their defaults, then as the layers say, a later one before an earlier one;
/// resolved. Fails with UsageError on an option that it does not have.
std::unique_ptr<ModelFamily> make_family(const std::string& model, const std::vector<OptionLines>& layers);

/// The options of a family as they are now, without those that are unset.
std::vector<Assignment> options_of(ModelFamily& family);

}  // namespace residua
