#include "cuda/libraries/plan_cache.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/file_system.h"

namespace residua::cuda {
namespace {

// {"format": 2, "devices": {DEVICE: {KEY: {"choice": NAME, "ways": [[NAME, MILLISECONDS], ...], "refusal": TEXT}}}}
constexpr int kFormat = 2;

/// The whole file, or an empty one where there is none that can be used.
nlohmann::json read(const std::string& path) {
  nlohmann::json empty = {{"format", kFormat}, {"devices", nlohmann::json::object()}};
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return empty;
  }
  nlohmann::json content = nlohmann::json::parse(file, nullptr, false);
  if (content.is_discarded() || !content.is_object() || content.value("format", nlohmann::json()) != kFormat ||
      !content.contains("devices") || !content["devices"].is_object()) {
    spdlog::warn("{} is not a list of plans of this version: they are timed anew", path);
    return empty;
  }
  return content;
}

std::optional<Choice> parse(const nlohmann::json& entry) {
  try {
    Choice choice{
        .name = entry.at("choice").get<std::string>(), .milliseconds = {}, .refusal = entry.at("refusal").get<std::string>()};
    for (const nlohmann::json& way : entry.at("ways")) {
      choice.milliseconds.emplace_back(way.at(0).get<std::string>(), way.at(1).get<double>());
    }
    return choice;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

PlanCache::PlanCache(std::string path, std::string device) : path_(std::move(path)), device_(std::move(device)) {
  if (path_.empty()) {
    return;
  }
  const nlohmann::json content = read(path_);
  const auto mine = content["devices"].find(device_);
  if (mine == content["devices"].end() || !mine->is_object()) {
    return;
  }
  for (const auto& [key, entry] : mine->items()) {
    if (auto choice = parse(entry)) {
      choices_.emplace(key, std::move(*choice));
    }
  }
}

std::string PlanCache::default_path() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return std::string(cache) + "/residua/plans.json";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return std::string(home) + "/.cache/residua/plans.json";
  }
  return "";
}

std::optional<Choice> PlanCache::find(const std::string& key) const {
  const auto found = choices_.find(key);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void PlanCache::put(const std::string& key, Choice choice) {
  if (!path_.empty()) {
    try {
      nlohmann::json content = read(path_);
      nlohmann::json& mine = content["devices"][device_];
      if (!mine.is_object()) {
        mine = nlohmann::json::object();
      }
      mine[key] = {{"choice", choice.name}, {"ways", choice.milliseconds}, {"refusal", choice.refusal}};
      if (const std::string folder = std::filesystem::path(path_).parent_path().string();
          file_system().make_folders(folder) != 0) {
        fail_io("make the folder", folder, errno);
      }
      atomic_write(path_, content.dump(1));
    } catch (const std::exception& error) {
      spdlog::warn("plans are not kept on disk: {}", error.what());
      path_.clear();
    }
  }
  choices_.insert_or_assign(key, std::move(choice));
}

}  // namespace residua::cuda
