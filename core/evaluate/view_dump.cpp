#include "core/evaluate/view_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace residua {

void ViewDump::saw(std::span<const int64_t> samples, size_t pass, const Tensor& x) {
  const auto count = static_cast<int64_t>(samples.size());
  const int64_t views = x.dim(0) / count;
  const int64_t pixels = views * x.dim(1) * x.dim(2);
  bytes_ += count * pixels * channels_ * size_bytes(DType::f32);
  if (bytes_ > most_bytes_) {
    fail_usage("the views of the first {} images take {:.1f} GiB, wanted at most {:.1f}: evaluate fewer images",
               indices_.size() + samples.size(), static_cast<double>(bytes_) / (1 << 30),
               static_cast<double>(most_bytes_) / (1 << 30));
  }
  const std::vector<float> values = x.to_vector();
  const int64_t stored = x.dim(3);
  unlabeled_.resize(pass + 1);
  unlabeled_[pass].clear();
  std::vector<float> seen(static_cast<size_t>(pixels * channels_));
  for (int64_t s = 0; s < count; ++s) {
    for (int64_t i = 0; i < pixels; ++i) {
      std::copy_n(values.begin() + (s * pixels + i) * stored, channels_, seen.begin() + i * channels_);
    }
    unlabeled_[pass].push_back(host_array<float>("", {views, x.dim(1), x.dim(2), channels_}, seen));
  }
}

void ViewDump::scored(std::span<const int64_t> samples, std::span<const int32_t> labels, std::span<const float> /*scores*/) {
  for (size_t s = 0; s < samples.size(); ++s) {
    if (labels[s] < 0) {
      continue;
    }
    for (size_t pass = 0; pass < unlabeled_.size(); ++pass) {
      views_.push_back(std::move(unlabeled_[pass][s]));
      views_.back().name = fmt::format("views.{}.{}", indices_.size(), pass);
    }
    indices_.push_back(samples[s]);
    labels_.push_back(labels[s]);
  }
}

void ViewDump::write(const std::string& path, const SafetensorsMetadata& metadata) const {
  const auto images = static_cast<int64_t>(indices_.size());
  const std::array own = {host_array<int64_t>("indices", {images}, indices_), host_array<int32_t>("labels", {images}, labels_)};
  std::vector<HostArrayView> arrays = views(own);
  std::ranges::move(views(views_), std::back_inserter(arrays));
  save_safetensors(path, arrays, metadata);
}

}  // namespace residua
