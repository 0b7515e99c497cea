#include "core/evaluate/all_ranks.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/distributed/share.h"

namespace residua {
namespace {

using Json = nlohmann::json;

std::string bytes_of(const Json& json) {
  const std::vector<uint8_t> bytes = Json::to_cbor(json);
  return {bytes.begin(), bytes.end()};
}

Json to_json(const ImageResult& result) {
  Json best = Json::array();
  for (const ImageResult::Guess& guess : result.best) {
    best.push_back({guess.class_index, guess.probability});
  }
  return {result.index, result.label, result.loss, result.probability, result.rank, std::move(best)};
}

ImageResult image_result(const Json& json) {
  ImageResult result{.index = json[0], .label = json[1], .loss = json[2], .probability = json[3], .rank = json[4], .best = {}};
  for (const Json& guess : json[5]) {
    result.best.push_back({.class_index = guess[0], .probability = guess[1]});
  }
  return result;
}

}  // namespace

MetricsTotals totals_of_all(Communicator& ranks, const MetricsTotals& own) {
  if (ranks.alone()) {
    return own;
  }
  MetricsTotals all;
  for (const std::string& bytes : ranks.gather(bytes_of({own.loss, own.images, own.top1_errors, own.top5_errors}))) {
    const Json part = Json::from_cbor(bytes);
    all.loss += part[0].get<double>();
    all.images += part[1].get<int64_t>();
    all.top1_errors += part[2].get<int64_t>();
    all.top5_errors += part[3].get<int64_t>();
  }
  return all;
}

std::vector<ImageResult> results_of_all(Communicator& ranks, int64_t images, const std::vector<ImageResult>& own) {
  if (ranks.alone()) {
    return own;
  }
  Json part = Json::array();
  for (const ImageResult& result : own) {
    part.push_back(to_json(result));
  }
  std::vector<ImageResult> all;
  int64_t rank = 0;
  for (const std::string& bytes : ranks.gather(bytes_of(part))) {
    const int64_t first = share_of(images, rank++, ranks.world()).first;
    for (const Json& json : Json::from_cbor(bytes)) {
      all.push_back(image_result(json));
      all.back().index += first;
    }
  }
  return all;
}

}  // namespace residua
