#include "core/data/statistics_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "core/base/error.h"
#include "core/base/warning.h"
#include "core/data/digest.h"
#include "core/data/fnv.h"
#include "core/data/loader_options.h"
#include "core/distributed/communicator.h"
#include "core/io/file_system.h"
#include "core/io/safetensors.h"

namespace residua {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "residua-image-statistics-1";

/// Names, labels and byte counts of all images, and the bytes of as many as are read quickly.
std::string digest_of(const ImageSource& source, int64_t size, bool turned) {
  constexpr int64_t kReadAll = 4096;  // images; to read more could take as long as to measure them
  constexpr int64_t kSample = 64;     // of a larger set
  const int64_t read = source.size() <= kReadAll ? source.size() : kSample;
  Fnv fnv;
  fnv.add(fmt::format("{}\n{}\n{}\n{}\n", kFormat, set_digest(source), size, turned));
  for (int64_t i = 0; i < source.size(); ++i) {
    fnv.add(fmt::format("{} ", source.stored_bytes(i).value_or(0)));
  }
  EncodedImage encoded;
  for (int64_t i = 0; i < read; ++i) {
    try {
      source.read(i * source.size() / read, encoded);
      fnv.add(fmt::format("{} ", encoded.bytes.size()));
      fnv.add(encoded.bytes);
    } catch (const Error&) {
      fnv.add(std::string_view("unreadable"));
    }
  }
  return fnv.digest();
}

void store(const std::string& path, const ImageStatistics& s) {
  const Json numbers = {{"images", s.images},
                        {"size", s.size},
                        {"mean", s.channels.mean},
                        {"std", s.channels.std},
                        {"eigenvalues", s.colors.eigenvalues},
                        {"components", s.colors.components}};
  const HostArray image = host_array<float>(kMeanImage, {s.size, s.size, 3}, s.mean_image);
  save_safetensors(path, views({&image, 1}), {{"format", kFormat}, {"statistics", numbers.dump()}});
}

bool is_sound(const ImageStatistics& s) {
  const auto finite = [](const auto& values) { return std::ranges::all_of(values, [](auto x) { return std::isfinite(x); }); };
  return s.images > 0 && finite(s.mean_image) && finite(s.channels.mean) && finite(s.channels.std) &&
         finite(s.colors.eigenvalues) && std::ranges::all_of(s.colors.components, finite);
}

ImageStatistics stored(const std::string& path, int64_t size) {
  const Safetensors file = load_safetensors(path);
  const HostArray* image = file.find(kMeanImage);
  const auto text = file.metadata.find("statistics");
  if (image == nullptr || text == file.metadata.end() || image->shape != std::vector<int64_t>{size, size, 3}) {
    fail("{} does not hold the statistics of images of {} x {} pixels", path, size, size);
  }
  const Json numbers = Json::parse(text->second);
  ImageStatistics s{.images = numbers.at("images"), .size = numbers.at("size"), .mean_image = image->to_floats()};
  numbers.at("mean").get_to(s.channels.mean);
  numbers.at("std").get_to(s.channels.std);
  numbers.at("eigenvalues").get_to(s.colors.eigenvalues);
  numbers.at("components").get_to(s.colors.components);
  if (!is_sound(s)) {
    fail("{} holds numbers that are not finite", path);
  }
  return s;
}

std::optional<ImageStatistics> stored_if_sound(const std::string& path, int64_t size) {
  if (path.empty() || !fs::exists(path)) {
    return {};
  }
  try {
    return stored(path, size);
  } catch (const std::exception& error) {
    warn("the statistics of the training images are measured again: {}", error.what());
    return {};
  }
}

}  // namespace

ImageStatistics measure_images_once(const std::string& folder, const std::shared_ptr<const ImageSource>& source, int64_t size,
                                    const LoaderOptions& options, const MeasureProgress& progress, Communicator* ranks) {
  const std::string path =
      folder.empty() ? ""
                     : fmt::format("{}/statistics-{}.safetensors", folder, digest_of(*source, size, options.turns_by_exif));
  std::optional<ImageStatistics> before = stored_if_sound(path, size);
  const int64_t missing = before ? 0 : 1;
  if ((ranks != nullptr ? largest(*ranks, missing) : missing) == 0) {
    return *std::move(before);
  }
  ImageStatistics measured = measure_images(source, size, options, progress, ranks);
  if (path.empty() || before) {
    return measured;
  }
  try {
    if (file_system().make_folders(folder) != 0) {
      fail("cannot make the folder {}", folder);
    }
    store(path, measured);
  } catch (const std::exception& error) {
    warn("the statistics of the training images are not kept for the next run: {}", error.what());
  }
  return measured;
}

}  // namespace residua
