#include "cuda/libraries/plan_cache.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/error.h"
#include "core/base/warning.h"
#include "core/io/atomic_file.h"
#include "core/io/cache_folder.h"
#include "core/io/file_lock.h"
#include "core/io/file_system.h"
#include "core/io/parse_json.h"

namespace residua::cuda {
namespace {

using nlohmann::json;

// {"format": 2, "devices": {DEVICE: {KEY: {"choice": NAME, "ways": [[NAME, MILLISECONDS], ...], "refusal": TEXT}}},
//  "rejected": {DEVICE: {KEY: {NAME: REASON}}}}
constexpr int kFormat = 2;

std::string lock_path(const std::string& path) { return path + ".lock"; }
std::string trial_prefix(const std::string& path) { return path + ".trying-"; }

void make_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (file_system().make_folders(folder) != 0) {
    fail_io("make the folder", folder, errno);
  }
}

/// The member `member` of an object, which is an object too. Creates it if it is missing or of another type.
json& object(json& of, std::string_view member) {
  json& value = of[std::string(member)];
  if (!value.is_object()) {
    value = json::object();
  }
  return value;
}

/// The whole file; an empty document if there is no usable file.
json read(const std::string& path) {
  const json empty = {{"format", kFormat}, {"devices", json::object()}};
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return empty;
  }
  json content;
  try {
    content = parse_json(std::string(std::istreambuf_iterator<char>(file), {}));
  } catch (const Error&) {
    content = nullptr;  // said below
  }
  if (!content.is_object() || content.value("format", json()) != kFormat || !content.contains("devices") ||
      !content["devices"].is_object()) {
    warn("{} is not a plan cache of this version: plans are timed again", path);
    return empty;
  }
  return content;
}

std::optional<Choice> parse(const json& entry) {
  try {
    Choice choice{.name = entry.at("choice").get<std::string>(),
                  .milliseconds = {},
                  .rejection_reason = entry.at("refusal").get<std::string>()};
    for (const json& plan : entry.at("ways")) {
      choice.milliseconds.emplace_back(plan.at(0).get<std::string>(), plan.at(1).get<double>());
    }
    return choice;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

std::string plan_cache_device(const std::string& device, const device_api::PlanOptions& options) {
  return device + (options.nondeterministic ? ", nondeterministic plans allowed" : "") +
         (options.runtime_compilation ? ", runtime compilation allowed" : "");
}

PlanCache::PlanCache(std::string path, std::string device) : path_(std::move(path)), device_(std::move(device)) {
  if (path_.empty()) {
    return;
  }
  try {
    reject_unfinished();
  } catch (const std::exception& error) {
    warn("cannot look for plans that ended a process: {}", error.what());
  }
  read_file();
}

void PlanCache::read_file() {
  json content = read(path_);
  for (const auto& [key, entry] : object(content["devices"], device_).items()) {
    if (auto choice = parse(entry)) {
      choices_.emplace(key, std::move(*choice));
    }
  }
  for (const auto& [key, plans] : object(object(content, "rejected"), device_).items()) {
    for (const auto& [plan, reason] : plans.items()) {
      rejections_[key][plan] = reason.is_string() ? reason.get<std::string>() : "no reason recorded";
    }
  }
}

void PlanCache::reject_unfinished() {
  if (unfinished_trials(trial_prefix(path_)).empty()) {
    return;
  }
  const FileLock lock = FileLock::wait_for(lock_path(path_));
  const std::vector<UnfinishedTrial> unfinished = unfinished_trials(trial_prefix(path_));
  json content = read(path_);
  bool changed = false;
  for (const UnfinishedTrial& trial : unfinished) {
    const json line = json::parse(trial.line, nullptr, false);
    const auto text = [&line](const char* member) {
      return line.is_object() && line.contains(member) && line[member].is_string() ? line[member].get<std::string>() : "";
    };
    const std::string device = text("device"), key = text("key"), plan = text("plan"), process = text("process");
    if (plan.empty()) {
      continue;
    }
    object(object(object(content, "rejected"), device), key)[plan] =
        fmt::format("process {} died while it tried this plan", process);
    changed = true;
    warn(
        "{}: plan {} is not tried again, because process {} died while it tried it; to allow it, remove it from "
        "\"rejected\" in {}",
        key, plan, process, path_);
  }
  if (changed) {
    atomic_write(path_, content.dump(1));
  }
  for (const UnfinishedTrial& trial : unfinished) {
    file_system().remove(trial.file);
  }
}

std::string PlanCache::default_path() {
  const std::string folder = cache_folder();
  return folder.empty() ? "" : folder + "/plans.json";
}

std::optional<Choice> PlanCache::find(const std::string& key) const {
  const auto found = choices_.find(key);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

void PlanCache::put(const std::string& key, Choice choice) {
  unsaved_.insert_or_assign(key, choice);
  choices_.insert_or_assign(key, std::move(choice));
}

void PlanCache::save() {
  trials_.reset();
  if (!unsaved_.empty() || !unsaved_rejections_.empty()) {
    write_file();
  }
}

void PlanCache::write_file() {
  if (!path_.empty()) {
    try {
      merge_into_file();
    } catch (const std::exception& error) {
      keep_nothing(error.what());
    }
  }
  unsaved_.clear();
  unsaved_rejections_.clear();
}

void PlanCache::merge_into_file() {
  make_folder_of(path_);
  const FileLock lock = FileLock::wait_for(lock_path(path_));
  json content = read(path_);
  json& mine = object(content["devices"], device_);
  for (const auto& [key, choice] : unsaved_) {
    mine[key] = {{"choice", choice.name}, {"ways", choice.milliseconds}, {"refusal", choice.rejection_reason}};
  }
  json& rejected = object(object(content, "rejected"), device_);
  for (const auto& [key, plans] : unsaved_rejections_) {
    for (const auto& [plan, reason] : plans) {
      object(rejected, key)[plan] = reason;
    }
  }
  atomic_write(path_, content.dump(1));
}

std::string PlanCache::rejection_reason(const std::string& key, const std::string& plan) const {
  const auto plans = rejections_.find(key);
  if (plans == rejections_.end()) {
    return "";
  }
  const auto found = plans->second.find(plan);
  return found == plans->second.end() ? "" : found->second;
}

void PlanCache::reject(const std::string& key, const std::string& plan, const std::string& reason) {
  rejections_[key][plan] = reason;
  unsaved_rejections_[key][plan] = reason;
  write_file();
}

void PlanCache::begin_trial(const std::string& key, const std::string& plan, Durability durability) {
  if (path_.empty()) {
    return;
  }
  try {
    if (trials_ == nullptr) {
      make_folder_of(path_);
      const FileLock lock = FileLock::wait_for(lock_path(path_));
      trials_ = std::make_unique<TrialRecord>(trial_prefix(path_));
    }
    const json line = {{"device", device_}, {"key", key}, {"plan", plan}, {"process", std::to_string(::getpid())}};
    trials_->begin(line.dump(), durability);
  } catch (const std::exception& error) {
    keep_nothing(error.what());
  }
}

void PlanCache::end_trial() noexcept {
  if (trials_ == nullptr) {
    return;
  }
  try {
    trials_->end();
  } catch (const std::exception& error) {
    keep_nothing(error.what());
  }
}

void PlanCache::keep_nothing(const char* what) {
  warn("plans are not saved to disk: {}", what);
  path_.clear();
  trials_.reset();
}

}  // namespace residua::cuda
