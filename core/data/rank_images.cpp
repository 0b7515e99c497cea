#include "core/data/rank_images.h"

#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "core/data/subset.h"
#include "core/distributed/share.h"

namespace residua {

std::shared_ptr<const ImageSource> images_of_rank(const std::shared_ptr<const ImageSource>& images, const Communicator& ranks) {
  if (ranks.alone() || images == nullptr) {
    return images;
  }
  const Share share = share_of(images->size(), ranks.rank(), ranks.world());
  if (share.count == 0) {
    return nullptr;
  }
  std::vector<int64_t> own(static_cast<size_t>(share.count));
  std::iota(own.begin(), own.end(), share.first);
  return std::make_shared<Subset>(images, std::move(own));
}

Unreadable unreadable_of_all(Communicator& ranks, const DataErrors* own) {
  const Unreadable mine = own != nullptr ? Unreadable{.count = own->count(), .summary = own->summary()} : Unreadable();
  if (ranks.alone()) {
    return mine;
  }
  Unreadable all;
  const nlohmann::json part = {mine.count, mine.summary};
  for (const std::string& text : ranks.gather(part.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))) {
    const nlohmann::json of_rank = nlohmann::json::parse(text);
    all.count += of_rank[0].get<int64_t>();
    all.summary += of_rank[1].get<std::string>();
  }
  return all;
}

std::vector<std::string> merge_errors(Communicator& ranks, DataErrors& errors) {
  using Json = nlohmann::json;
  const std::vector<BadImage> own = errors.take_new();
  if (ranks.alone()) {
    std::vector<std::string> messages;
    for (const BadImage& image : own) {
      messages.push_back(image.message);
    }
    return messages;
  }
  Json part = Json::array();
  for (const auto& [name, message] : own) {
    part.push_back(Json::array({name, message}));
  }
  const std::vector<uint8_t> bytes = Json::to_cbor(part);  // unlike text, it keeps names that are not UTF-8
  std::vector<BadImage> all;
  for (const std::string& of_rank : ranks.gather({bytes.begin(), bytes.end()})) {
    for (const Json& image : Json::from_cbor(of_rank)) {
      all.push_back({.name = image[0].get<std::string>(), .message = image[1].get<std::string>()});
    }
  }
  return errors.merge(all);
}

}  // namespace residua
