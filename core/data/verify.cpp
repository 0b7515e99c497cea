#include "core/data/verify.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <numeric>

#include "core/base/error.h"
#include "core/config/settings.h"
#include "core/data/checked_files.h"
#include "core/data/codecs/decode.h"
#include "core/data/codecs/jpeg.h"
#include "core/data/digest.h"
#include "core/data/fnv.h"
#include "core/data/verify_ranks.h"
#include "core/data/worker_count.h"
#include "core/data/worker_pool.h"
#include "core/distributed/share.h"

namespace residua {
namespace {

std::string_view format_name(ImageFormat format) {
  switch (format) {
    case ImageFormat::jpeg: return "JPEG";
    case ImageFormat::png: return "PNG";
    case ImageFormat::bmp: return "BMP";
    case ImageFormat::pnm: return "PNM";
    case ImageFormat::unknown: break;
  }
  return "unknown";
}

/// The format that a file's name tells.
ImageFormat format_of_name(const std::string& name) {
  std::string ending = std::filesystem::path(name).extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (ending == ".jpg" || ending == ".jpeg" || ending == ".jfif") {
    return ImageFormat::jpeg;
  }
  if (ending == ".ppm" || ending == ".pgm") {
    return ImageFormat::pnm;
  }
  return ending == ".png" ? ImageFormat::png : ending == ".bmp" ? ImageFormat::bmp : ImageFormat::unknown;
}

/// Goes through the images of one or two splits, numbered one after the other.
class Verifier {
 public:
  Verifier(Splits splits, const VerifyOptions& options, Communicator& ranks)
      : splits_(std::move(splits)), tiny_(options.tiny), max_pixels_(options.max_pixels), ranks_(ranks) {
    for (const auto& [split, source] : splits_) {
      ends_.push_back((ends_.empty() ? 0 : ends_.back()) + source->size());
    }
    seen_.resize(static_cast<size_t>(ends_.back()));
    workers_ = count_workers(options.workers);
    own_ = share_of(ends_.back(), ranks.rank(), ranks.world());
  }

  Verification run(const VerifyProgress& progress) {
    const int64_t done = read_own(progress);
    share(ranks_, seen_);
    share(ranks_, found_);
    Verification result;
    result.class_names = splits_.front().second->class_names();
    for (size_t k = 0; k < splits_.size(); ++k) {
      const ImageSource& source = *splits_[k].second;
      VerifiedSplit split{.split = splits_[k].first, .images_of_class = {}, .notes = source.notes()};
      split.images_of_class.resize(source.class_names().size());
      for (int64_t i = 0; i < source.size(); ++i) {
        ++split.images_of_class.at(static_cast<size_t>(source.label(i)));
      }
      result.splits.push_back(std::move(split));
    }
    compare_classes(result);
    compare_images();
    std::ranges::stable_sort(found_, {}, [](const Found& found) { return std::pair(found.finding.kind, found.number); });
    std::ranges::transform(found_, std::back_inserter(result.findings), [](Found& found) { return std::move(found.finding); });
    result.complete = done == ends_.back();
    return result;
  }

 private:
  struct Place {
    const ImageSource& source;
    int64_t image;
  };
  struct Scratch {
    EncodedImage encoded;
    Image image;
  };
  Place at(int64_t number) const {
    const size_t k = number < ends_.front() ? 0 : 1;
    return {*splits_[k].second, k == 0 ? number : number - ends_.front()};
  }
  std::string name(int64_t number) const { return at(number).source.name(at(number).image); }
  int32_t label(int64_t number) const { return at(number).source.label(at(number).image); }

  /// Adds an error about `subject`, whose message may name it once more.
  void add_error(FindingKind kind, int64_t number, const std::string& subject, const Error& error) {
    const std::string message = error.what();
    const std::string prefix = subject + ": ";
    add(kind, number, subject, message.starts_with(prefix) ? message.substr(prefix.size()) : message);
  }

  void add(FindingKind kind, int64_t number, std::string subject, std::string detail) {
    const std::lock_guard lock(mutex_);
    found_.push_back({{.kind = kind, .subject = std::move(subject), .detail = std::move(detail)}, number});
  }

  /// Reads this rank's share. Returns the number of images that all ranks have looked at.
  int64_t read_own(const VerifyProgress& progress) {
    const int64_t images_per_worker = ranks_.alone() ? 32 : 256;  // until the ranks wait for each other
    std::vector<Scratch> scratch(static_cast<size_t>(std::max<int64_t>(1, workers_)));
    std::atomic<int64_t> finished = 0;
    WorkerPool pool(workers_);  // last, so that its threads end before the data they use
    int64_t own_done = 0;
    int64_t done = 0;
    bool go_on = progress(0);
    while (go_on && done < ends_.back()) {
      const int64_t end = std::min(own_.count, own_done + std::ssize(scratch) * images_per_worker);
      std::vector<WorkerPool::Job> jobs;
      for (int64_t i = own_done; i < end; ++i) {
        jobs.emplace_back([this, number = own_.first + i, &scratch, &finished](int64_t worker) {
          look_at(number, scratch[static_cast<size_t>(worker)]);
          ++finished;
        });
      }
      pool.submit(std::move(jobs));
      pool.wait_until([&] { return finished == end; });
      done = own_done = end;
      sum_values(ranks_, {&done, 1});
      go_on = progress(done);
    }
    return done;
  }

  void look_at(int64_t number, Scratch& scratch) {
    const auto [source, i] = at(number);
    try {
      if (const auto* files = dynamic_cast<const CheckedFiles*>(&source)) {
        files->check_file(i);
      }
    } catch (const Error& error) {
      add_error(FindingKind::damaged_file, number, source.name(i), error);
    }
    const std::string name = source.name(i);
    try {
      source.read(i, scratch.encoded);
      Fnv fnv;
      fnv.add(scratch.encoded.bytes);
      decode(scratch.encoded, name, whole, scratch.image, {.max_pixels = max_pixels_});
      seen_[static_cast<size_t>(number)] = {.hash = fnv.hash(), .bytes = scratch.encoded.bytes.size(), .readable = true};
      check_size(source, name, scratch.image.size());
      look_at_pixels(number, name, scratch);
    } catch (const Error& error) {
      add_error(FindingKind::unreadable, number, name, error);
    }
  }

  static void check_size(const ImageSource& source, const std::string& name, ImageSize size) {
    if (const std::optional<ImageSize> wanted = source.fixed_size(); wanted && size != *wanted) {
      fail("{}: has {}x{} pixels; wanted {}x{}, the size that the data set gives for all images", name, size.width, size.height,
           wanted->width, wanted->height);
    }
  }

  void look_at_pixels(int64_t number, const std::string& name, const Scratch& scratch) {
    if (const ImageSize size = scratch.image.size(); std::min(size.height, size.width) < tiny_) {
      add(FindingKind::tiny, number, name, fmt::format("{}x{} pixels", size.width, size.height));
    }
    if (scratch.encoded.encoding == EncodedImage::Encoding::rgb) {
      return;
    }
    const ImageFormat format = image_format(scratch.encoded.bytes);
    const ImageFormat named = format_of_name(name);
    if (named != ImageFormat::unknown && named != format) {
      add(FindingKind::misnamed, number, name, fmt::format("holds {}", format_name(format)));
    }
    if (format == ImageFormat::jpeg && is_cmyk_jpeg(scratch.encoded.bytes, name)) {
      add(FindingKind::cmyk, number, name, "CMYK");
    }
  }

  void compare_classes(const Verification& result) {
    if (splits_.size() == 2) {
      const std::string different = different_class_names(result.class_names, splits_[1].second->class_names());
      if (!different.empty()) {
        add(FindingKind::class_names, 0, "training and validation images", different);
      }
    }
    const VerifiedSplit& first = result.splits.front();
    for (size_t c = 0; c < result.class_names.size() && first.split == Split::train; ++c) {
      if (first.images_of_class[c] == 0) {
        add(FindingKind::empty_class, static_cast<int64_t>(c), result.class_names[c], "no training image");
      }
    }
  }

  /// Compares each image with the first one of the same bytes.
  void compare_images() {
    std::vector<int64_t> order;
    for (int64_t number = 0; number < ends_.back(); ++number) {
      if (seen_[static_cast<size_t>(number)].readable) {
        order.push_back(number);
      }
    }
    const auto seen = [this](int64_t number) -> const Seen& { return seen_[static_cast<size_t>(number)]; };
    std::ranges::sort(order, {}, [&](int64_t number) { return std::tuple(seen(number).hash, seen(number).bytes, number); });
    for (size_t i = 0, first = 0; i < order.size(); ++i) {
      if (!seen(order[first]).same_bytes(seen(order[i]))) {
        first = i;
      }
      if (first != i) {
        note_equal(order[first], order[i]);
      }
    }
  }

  void note_equal(int64_t first, int64_t second) {
    const std::string same = "same bytes as " + name(first);
    const bool other_label = label(first) != label(second);
    if (other_label) {
      const std::vector<std::string>& classes = at(second).source.class_names();
      add(FindingKind::label_conflict, second, name(second),
          fmt::format("{}, which is of class {}, not {}", same, classes.at(static_cast<size_t>(label(first))),
                      classes.at(static_cast<size_t>(label(second)))));
    }
    if (first < ends_.front() && second >= ends_.front()) {
      add(FindingKind::overlap, second, name(second), same);
    } else if (!other_label) {
      add(FindingKind::duplicate, second, name(second), same);
    }
  }

  const Splits splits_;
  const int64_t tiny_;
  const int64_t max_pixels_;
  Communicator& ranks_;
  Share own_{};  // the images that this rank reads
  int64_t workers_ = 0;
  std::vector<int64_t> ends_;  // of each split
  std::vector<Seen> seen_;     // each image is written by one thread
  std::mutex mutex_;
  std::vector<Found> found_;
};

}  // namespace

void declare(Settings& s, VerifyOptions& o) {
  s.number("tiny", o.tiny, between(0, 4096), "Report images whose shorter side has fewer pixels.");
  declare_max_pixels(s, o.max_pixels);
  s.add(workers_setting(o.workers, "Threads that read and decode images. auto: one per core.")).alias("j");
}

Verification verify(const std::shared_ptr<const ImageSource>& train, const std::shared_ptr<const ImageSource>& val,
                    const VerifyOptions& options, const VerifyProgress& progress, std::vector<Finding> unopened,
                    Communicator* several) {
  OneProcess alone;
  Communicator& ranks = several != nullptr ? *several : alone;
  Splits splits;
  for (const auto& [split, source] : {std::pair(Split::train, train.get()), std::pair(Split::val, val.get())}) {
    if (source != nullptr) {
      splits.emplace_back(split, source);
    }
  }
  if (splits.empty() && unopened.empty()) {
    fail_usage("verify: got no images");
  }
  check_same_images(ranks, splits, unopened);
  Verification result;
  result.complete = true;
  if (!splits.empty()) {
    result = Verifier(std::move(splits), options, ranks).run(progress);
  }
  result.findings.insert(result.findings.begin(), std::make_move_iterator(unopened.begin()),
                         std::make_move_iterator(unopened.end()));
  return result;
}

}  // namespace residua
