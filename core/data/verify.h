#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/enum_text.h"
#include "core/base/error.h"
#include "core/data/codecs/region.h"
#include "core/data/source.h"
#include "core/data/worker_count.h"

namespace residua {

class Communicator;
class Settings;

/// What can be wrong with a data set.
enum class FindingKind : uint8_t {
  unopened,
  unreadable,
  damaged_file,
  label_conflict,
  overlap,
  empty_class,
  class_names,
  duplicate,
  cmyk,
  misnamed,
  tiny
};
template <>
inline constexpr auto kEnumText<FindingKind> = enum_text<FindingKind>({{FindingKind::unopened, "unopened"},
                                                                       {FindingKind::unreadable, "unreadable"},
                                                                       {FindingKind::damaged_file, "damaged-file"},
                                                                       {FindingKind::label_conflict, "label-conflict"},
                                                                       {FindingKind::overlap, "overlap"},
                                                                       {FindingKind::empty_class, "empty-class"},
                                                                       {FindingKind::class_names, "class-names"},
                                                                       {FindingKind::duplicate, "duplicate"},
                                                                       {FindingKind::cmyk, "cmyk"},
                                                                       {FindingKind::misnamed, "misnamed"},
                                                                       {FindingKind::tiny, "tiny"}});

/// What a kind means, for people: "images that cannot be decoded".
std::string_view meaning(FindingKind kind);
/// Whether a finding of this kind stops or harms a run. Duplicates, CMYK, misnamed and tiny images do not.
bool is_harmful(FindingKind kind);

struct Finding {
  FindingKind kind;
  std::string subject;  // a split, an image, a file or a class
  std::string detail;
};

struct VerifiedSplit {
  Split split = Split::train;
  std::vector<int64_t> images_of_class = {};
  std::vector<std::string> notes = {};  // of the source

  int64_t images() const;
};

struct Verification {
  std::vector<std::string> class_names;
  std::vector<VerifiedSplit> splits;
  std::vector<Finding> findings;  // by kind, in the order of the enum; then by split and image
  bool complete = false;          // false: stopped early, and only what was seen is reported

  /// Whether the class names are in the order of torchvision's ImageFolder.
  bool sorted_classes() const;
  bool harmful() const;
};

struct VerifyOptions {
  int64_t tiny = 32;                       // pixels: an image with a shorter side below this is tiny
  int64_t max_pixels = kDefaultMaxPixels;  // of an image that may be decoded
  int64_t workers = kAutoWorkers;          // threads
};

void declare(Settings& settings, VerifyOptions& options);

/// Called with the number of images that are done. Returns whether to go on. Several ranks call it together, with the images of
/// all of them, and it must give them the same answer.
using VerifyProgress = std::function<bool(int64_t done)>;

/// The finding that a split cannot be opened.
Finding unopened_finding(Split split, const Error& error);

/// Reads and decodes every image of the splits once, and compares images by their bytes. Splits that are null are left out.
/// `unopened` are findings of splits that could not be opened: the result has them too. Of several ranks, each reads its share,
/// and all get the result that one process gets. Fails with UsageError if there is neither a split nor such a finding;
/// Disagreement if the ranks see different images.
Verification verify(const std::shared_ptr<const ImageSource>& train, const std::shared_ptr<const ImageSource>& val,
                    const VerifyOptions& options, const VerifyProgress& progress, std::vector<Finding> unopened = {},
                    Communicator* ranks = nullptr);

/// The same as JSON; docs/formats.md describes it.
nlohmann::json to_json(const Verification& verification);

}  // namespace residua
