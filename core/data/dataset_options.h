#pragma once

#include <memory>
#include <string>

#include "core/base/kinds.h"
#include "core/data/source.h"

namespace residua {

class Settings;

/// The data set that a user names.
struct DatasetOptions {
  std::string folder;            // empty: none is needed
  std::string name = "auto";     // of its kind; auto: what the folder looks like
  Kinds<SourceKind> kinds = {};  // with their own options

  /// Whether the user named one.
  bool named() const { return !folder.empty() || name != "auto"; }
};

/// Declares the folder, the kind and the options of all kinds.
void declare(Settings& settings, DatasetOptions& options);

/// Opens one split, as open_source() in core/data/source.h does.
std::shared_ptr<const ImageSource> open_source(const DatasetOptions& options, Split split, const SourceContext& context = {});

}  // namespace residua
