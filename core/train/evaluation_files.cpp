#include "core/train/evaluation_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "core/base/version.h"
#include "core/data/codecs/png_encode.h"
#include "core/data/subset.h"
#include "core/evaluate/view_images.h"
#include "core/io/atomic_file.h"
#include "core/io/file_system.h"
#include "core/io/list_folder.h"
#include "core/train/training.h"

namespace residua {
namespace {

constexpr size_t kPictures = 24;

/// What the network saw of these images of the set.
std::map<int64_t, Image> views_of(const Evaluated& e, const std::vector<int64_t>& indices) {
  std::map<int64_t, Image> views;
  if (indices.empty()) {
    return views;
  }
  const auto chosen = std::make_shared<Subset>(e.images, indices);
  for (auto& [place, image] : view_images(*evaluation_loader(chosen, e.config, e.network.input.size, Device{}))) {
    views[indices[static_cast<size_t>(place)]] = std::move(image);
  }
  return views;
}

/// Removes the pictures in `folder` that are not named.
void remove_others(const std::string& folder, const std::set<std::string>& names) {
  for (const std::string& path : list_folder(folder)) {
    const std::filesystem::path file = path;
    if (file.extension() == ".png" && !names.contains(file.filename().string()) && file_system().remove(path) != 0) {
      fail_io("remove", path, errno);
    }
  }
}

}  // namespace

nlohmann::ordered_json evaluation_json(const Evaluated& e, const EvaluationReport& report) {
  const EvaluationOptions& how = e.config.evaluation;
  nlohmann::ordered_json json = {{"format", 1},
                                 {"version", version()},
                                 {"model", e.network.name},
                                 {"weights", e.weights},
                                 {"iteration", e.iteration},
                                 {"set", e.set},
                                 {"input_size", e.network.input.size},
                                 {"protocol", how.protocol},
                                 {"average", std::string(to_text(how.average))},
                                 {"views", count_views(how.chosen(), e.network.input.size)},
                                 {"device", e.device.string()},
                                 {"precision", name(e.precision)},
                                 {"unreadable_images", e.images->size() - report.images}};
  json.update(to_json(report, *e.images));
  return json;
}

std::string evaluation_text(const nlohmann::ordered_json& json) {
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void write_evaluation(const RunFolder& folder, const Evaluated& evaluated, std::span<const ImageResult> results) {
  const EvaluationReport report = evaluation_report(results, evaluated.network.classes());
  nlohmann::ordered_json json = evaluation_json(evaluated, report);
  std::vector<int64_t> indices;
  for (size_t i = 0; i < std::min(report.worst.size(), kPictures); ++i) {
    indices.push_back(report.worst[i].index);
  }
  const std::string pictures = folder.file(kWorstFolder);
  if (file_system().make_folders(pictures) != 0) {
    fail_io("create", pictures, errno);
  }
  remove_temporary_files(pictures);
  const std::map<int64_t, Image> views = views_of(evaluated, indices);
  std::set<std::string> names;
  std::string png;
  for (size_t i = 0; i < indices.size(); ++i) {
    const auto view = views.find(indices[i]);
    if (view == views.end()) {
      continue;
    }
    const std::string name = fmt::format("{}.png", indices[i]);  // of the image alone, so that an old file is never wrong
    encode_png(view->second, png);
    atomic_write(fmt::format("{}/{}", pictures, name), png);
    json["worst"][i]["view"] = fmt::format("{}/{}", kWorstFolder, name);
    names.insert(name);
  }
  atomic_write(folder.file(kEvaluationFile), evaluation_text(json));
  remove_others(pictures, names);
}

}  // namespace residua
