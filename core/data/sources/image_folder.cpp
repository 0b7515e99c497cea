/// Image folder: FOLDER/train/CLASS/*.jpg and FOLDER/val/CLASS/*.jpg, the usual layout of ImageNet and of torchvision's
/// ImageFolder. The validation images may also be in FOLDER/val itself, with their labels in FOLDER/val.txt.
#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/join.h"
#include "core/data/class_names.h"
#include "core/data/codecs/decode.h"
#include "core/data/source.h"
#include "core/data/sources/label_list.h"
#include "core/io/input_file.h"
#include "core/io/read_file.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

/// Extensions of image files. A file without one of them is an image if its contents are, whatever its name; a file with one of
/// them that is none is reported when it is decoded.
constexpr std::array<std::string_view, 7> kExtensions{".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".ppm", ".pgm"};

constexpr const char* kValidationList = "val.txt";
constexpr const char* kWanted = "JPEG, PNG, BMP, PPM or PGM images";

std::string_view folder_name(Split split) { return split == Split::train ? "train" : "val"; }

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

std::string lower_case_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension;
}

/// Sorted names of the subfolders of `folder`, without hidden ones.
std::vector<std::string> class_folders(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code unreadable;  // such as a broken link: not a folder
    if (entry->is_directory(unreadable) && !is_hidden(entry->path())) {
      names.push_back(entry->path().filename().string());
    }
  }
  if (error) {
    fail_usage("data folder '{}' cannot be read: {}", folder.string(), error.message());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// Whether a link to a folder leads back to a folder on its own path, or to one that contains such a folder.
bool is_loop(const fs::path& link, const fs::path& folder) {
  std::error_code error;
  const fs::path target = fs::canonical(link, error);
  for (fs::path above = link.parent_path(); !error; above = above.parent_path()) {
    const fs::path passed = fs::canonical(above, error);
    if (std::mismatch(target.begin(), target.end(), passed.begin(), passed.end()).first == target.end()) {
      return true;
    }
    if (above == folder) {
      return false;
    }
  }
  return true;  // skip a link that cannot be followed
}

/// Whether a file holds an image. Two letters are all that marks BMP and PNM, so the header must be sound too.
bool holds_image(const fs::path& path) {
  try {
    std::vector<uint8_t> bytes;
    const InputFile file(path.string());
    bytes.resize(std::min<uint64_t>(file.size(), kImageFormatBytes));
    file.read(bytes.data(), bytes.size(), 0);
    if (image_format(bytes) == ImageFormat::unknown) {
      return false;
    }
    read_file(path, bytes);
    image_size(bytes, path.string());
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// The contents of a class folder and its subfolders, linked ones included.
struct Listing {
  std::vector<std::string> images;          // sorted paths relative to the folder
  std::map<std::string, int64_t> left_out;  // number of other files by extension
};

Listing list_images(const fs::path& folder) {
  Listing listing;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::follow_directory_symlink, error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    std::error_code unreadable;
    const bool is_folder = entry->is_directory(unreadable);
    if (is_hidden(entry->path()) || (is_folder && entry->is_symlink(unreadable) && is_loop(entry->path(), folder))) {
      entry.disable_recursion_pending();
    } else if (!is_folder) {
      const std::string extension = lower_case_extension(entry->path());
      if (std::ranges::find(kExtensions, extension) != kExtensions.end() || holds_image(entry->path())) {
        listing.images.push_back(entry->path().lexically_relative(folder).string());
      } else {
        ++listing.left_out[extension];
      }
    }
  }
  if (error) {
    fail_usage("class folder '{}' cannot be read: {}", folder.string(), error.message());
  }
  std::ranges::sort(listing.images);
  return listing;
}

/// Whether the validation images are in val/ itself and val.txt has their labels.
bool is_flat(const fs::path& folder) {
  const fs::path root = folder / folder_name(Split::val);
  return fs::is_directory(root) && fs::is_regular_file(folder / kValidationList) && class_folders(root).empty();
}

class ImageFolder final : public ImageSource {
 public:
  ImageFolder(const fs::path& folder, Split split) : root_(folder / folder_name(split)) {
    const fs::path train = folder / folder_name(Split::train);
    if (!fs::is_directory(root_)) {
      fail_usage("data folder '{}' {}; wanted {}/ with one folder of images per class", folder.string(),
                 describe_folder(folder), folder_name(split));
    }
    // A label is the class's position in train/, so val/ may lack some classes.
    const std::vector<std::string> present = class_folders(root_);
    class_names_ = fs::is_directory(train) ? class_folders(train) : present;
    if (split == Split::val && is_flat(folder)) {
      read_list(folder);
      return;
    }
    if (present.empty()) {
      fail_usage("data folder '{}' {}; wanted one folder of images per class{}", root_.string(), describe_folder(root_),
                 split == Split::val ? ", or val.txt beside it with a line 'name label' for each image" : "");
    }
    for (const std::string& name : present) {
      const auto found = std::lower_bound(class_names_.begin(), class_names_.end(), name);
      if (found == class_names_.end() || *found != name) {
        fail_usage("class folder '{}' has no counterpart in '{}', which has {} classes", (root_ / name).string(),
                   train.string(), class_names_.size());
      }
      const Listing listing = list_images(root_ / name);
      if (listing.images.empty()) {
        fail_usage("class folder '{}' {}; wanted {}", (root_ / name).string(), describe_folder(root_ / name), kWanted);
      }
      for (const std::string& file : listing.images) {
        files_.push_back((fs::path(name) / file).string());
        labels_.push_back(static_cast<int32_t>(found - class_names_.begin()));
      }
      for (const auto& [extension, files] : listing.left_out) {
        left_out_[extension] += files;
      }
    }
  }

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t i) const override { return labels_[static_cast<size_t>(i)]; }
  std::string name(int64_t i) const override { return (root_ / files_[static_cast<size_t>(i)]).string(); }
  std::optional<ImageSize> fixed_size() const override { return std::nullopt; }

  void read(int64_t i, EncodedImage& out) const override {
    read_file(name(i), out.storage);
    out.set_file();
  }

  std::optional<uint64_t> stored_bytes(int64_t i) const override {
    std::error_code error;
    const uint64_t bytes = fs::file_size(name(i), error);
    return error ? std::nullopt : std::optional(bytes);
  }

  std::vector<std::string> notes() const override {
    int64_t files = 0;
    std::vector<std::string> kinds;
    for (const auto& [extension, count] : left_out_) {
      files += count;
      kinds.push_back(extension.empty() ? fmt::format("{} without extension", count) : fmt::format("{} *{}", count, extension));
    }
    std::vector<std::string> notes = notes_;
    if (files > 0) {
      notes.push_back(fmt::format("{}: {} {} skipped: {}; wanted {}", root_.string(), files,
                                  files == 1 ? "file is" : "files are", join(kinds, ", "), kWanted));
    }
    return notes;
  }

 private:
  /// Takes images, labels and, without a training folder, class names from val.txt and classes.txt.
  void read_list(const fs::path& folder) {
    const fs::path names = folder / "classes.txt";
    if (class_names_.empty() && fs::is_regular_file(names)) {
      class_names_ = read_class_names(names);
    }
    LabelList list = read_label_list(folder / kValidationList, std::move(class_names_));
    class_names_ = std::move(list.class_names);
    files_ = std::move(list.files);
    labels_ = std::move(list.labels);
    notes_.push_back(std::move(list.note));
    Listing listing = list_images(root_);
    left_out_ = std::move(listing.left_out);
    const std::set<std::string> listed(files_.begin(), files_.end());
    const auto missing = std::ranges::count_if(listing.images, [&](const std::string& file) { return !listed.contains(file); });
    if (missing > 0) {
      notes_.push_back(fmt::format("{}: {} {} skipped because {} does not list {}", root_.string(), missing,
                                   missing == 1 ? "image is" : "images are", kValidationList, missing == 1 ? "it" : "them"));
    }
  }

  fs::path root_;
  std::vector<std::string> class_names_;
  std::vector<std::string> files_;  // relative to the split's folder
  std::vector<int32_t> labels_;
  std::map<std::string, int64_t> left_out_;  // as in Listing, of all class folders
  std::vector<std::string> notes_;           // others
};

class ImageFolderKind final : public SourceKind {
 public:
  std::string layout() const override { return "train/CLASS/*.jpg and val/CLASS/*.jpg, or val/*.jpg with val.txt"; }

  bool detect(const fs::path& folder) const override {
    for (const Split split : {Split::train, Split::val}) {
      const fs::path root = folder / folder_name(split);
      if (fs::is_directory(root) && !class_folders(root).empty()) {
        return true;
      }
    }
    return is_flat(folder);
  }

  std::shared_ptr<const ImageSource> open(const fs::path& folder, Split split,
                                          const SourceContext& /*context*/) const override {
    return std::make_shared<const ImageFolder>(folder, split);
  }
};

const auto kImageFolder =
    registered<SourceKind, ImageFolderKind>("imagefolder", "one folder of images per class, in train and val");

}  // namespace
}  // namespace residua
