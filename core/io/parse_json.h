#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace residua {

/// Parses JSON from an untrusted file. Throws Error on text that is not JSON, and on text that nests deeper than the formats of
/// this program do: functions that walk through a value call themselves at each level.
nlohmann::json parse_json(std::string_view text);

}  // namespace residua
