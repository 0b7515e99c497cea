// parity-views FOLDER VIEW CROP SEED EPOCH OUTPUT: writes what a network sees of the training images of FOLDER in one epoch,
// and the draws, for augmentation.py: u8 "loaded", f32 "input" and f32 "normals" [images, 3] as in seen_views.h; i64 "draws"
// [images, 11]: top, left, height and width of the domain, height and width of the resized domain, the same four of the window,
// flip; the images' names in the metadata.
#include <fmt/format.h>

#include <charconv>
#include <exception>
#include <string_view>

#include "core/data/source.h"
#include "tests/parity/seen_views.h"
#include "tests/support/host_arrays.h"

namespace residua::test {
namespace {

template <class T>
T number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail("got '{}', wanted a whole number", text);
  }
  return value;
}

void write_views(char** words) {
  const auto source = open_source("auto", words[1], Split::train);
  const SeenViews seen =
      see_views(source, words[2], number<int64_t>(words[3]), number<uint64_t>(words[4]), number<int64_t>(words[5]));
  std::vector<int64_t> draws;
  std::vector<float> normals;
  std::string names;
  for (size_t i = 0; i < seen.placed.size(); ++i) {
    const auto& [domain, resized, window] = seen.placed[i].resize;
    draws.insert(draws.end(), {domain.top, domain.left, domain.height, domain.width, resized.height, resized.width, window.top,
                               window.left, window.height, window.width, seen.placed[i].view.flip});
    normals.insert(normals.end(), seen.normals[i].begin(), seen.normals[i].end());
    names += source->name(static_cast<int64_t>(i)) + "\n";
  }
  const int64_t images = source->size();
  const std::vector<HostArray> arrays{to_host("loaded", seen.loaded), to_host("input", seen.input),
                                      host_array("draws", {images, 11}, std::span<const int64_t>(draws)),
                                      host_array("normals", {images, 3}, std::span<const float>(normals))};
  save_safetensors(words[6], views(arrays), {{"names", names}});
}

}  // namespace
}  // namespace residua::test

int main(int argc, char** argv) {
  if (argc != 7) {
    fmt::print(stderr, "usage: parity-views FOLDER VIEW CROP SEED EPOCH OUTPUT.safetensors\n");
    return 2;
  }
  try {
    residua::test::write_views(argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "parity-views: {}\n", error.what());
    return 1;
  }
  return 0;
}
