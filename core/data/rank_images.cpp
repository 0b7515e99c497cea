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

}  // namespace residua
