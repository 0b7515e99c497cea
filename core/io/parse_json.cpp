#include "core/io/parse_json.h"

#include "core/base/error.h"

namespace residua {

nlohmann::json parse_json(std::string_view text) {
  static constexpr int kMostLevels = 32;
  using Event = nlohmann::json::parse_event_t;
  const auto check = [](int depth, Event event, nlohmann::json& /*value*/) {
    if ((event == Event::object_start || event == Event::array_start) && depth >= kMostLevels) {
      fail("the JSON nests deeper than {} levels", kMostLevels);
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, check);
  } catch (const nlohmann::json::exception& error) {
    fail("not JSON: {}", error.what());
  }
}

}  // namespace residua
