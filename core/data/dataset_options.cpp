#include "core/data/dataset_options.h"

#include "core/config/settings.h"

namespace residua {

void declare(Settings& s, DatasetOptions& o) {
  s.text("DIR", o.folder, "Folder of the data set. The data sets fashion-mnist and synthetic need none.")
      .without_result()  // set_digest() identifies the data instead
      .positional = true;
  s.choice("dataset", o.name, source_names(), "Layout of the folder; auto detects it.").without_result();
  o.kinds.declare(s);
}

std::shared_ptr<const ImageSource> open_source(const DatasetOptions& options, Split split, const SourceContext& context) {
  return open_source(options.kinds, options.name, options.folder, split, context);
}

}  // namespace residua
