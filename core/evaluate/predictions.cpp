#include "core/evaluate/predictions.h"

#include <nlohmann/json.hpp>

#include "core/io/atomic_file.h"

namespace residua {

void write_predictions(const std::string& path, std::span<const ImageResult> results, const ImageSource& source) {
  using Json = nlohmann::ordered_json;
  const auto class_name = [&](int32_t label) { return source.class_names()[static_cast<size_t>(label)]; };
  AtomicFile file(path);
  for (const ImageResult& result : results) {
    Json line = {{"index", result.index}, {"name", source.name(result.index)},
                 {"label", result.label}, {"class", class_name(result.label)},
                 {"loss", result.loss},   {"top5", Json::array()}};
    for (const ImageResult::Guess& guess : result.best) {
      line["top5"].push_back(
          {{"label", guess.class_index}, {"class", class_name(guess.class_index)}, {"probability", guess.probability}});
    }
    // A file name need not be UTF-8.
    file.write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  file.commit();
}

}  // namespace residua
