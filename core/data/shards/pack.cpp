#include "core/data/shards/pack.h"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "core/base/error.h"
#include "core/config/settings.h"
#include "core/data/codecs/decode.h"
#include "core/data/digest.h"
#include "core/data/fnv.h"
#include "core/data/shards/packed_image.h"
#include "core/data/shards/shard_index.h"
#include "core/data/shards/tar.h"
#include "core/data/worker_count.h"
#include "core/data/worker_pool.h"
#include "core/io/append_file.h"
#include "core/io/atomic_file.h"
#include "core/io/file_lock.h"
#include "core/io/file_system.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;

ShardHeader header_of(const ImageSource& source, const PackOptions& options) {
  std::string encoding = options.shorter_side ? fmt::format("shorter side {}, ", *options.shorter_side) : "";
  encoding += options.turns_by_exif ? "turned by EXIF, " : "";
  encoding += encoding.empty() ? "" : fmt::format("JPEG quality {}", options.quality);
  const std::optional<ImageSize> fixed = source.fixed_size();
  const bool sizes_change = fixed && ((options.shorter_side && std::min(fixed->height, fixed->width) > *options.shorter_side) ||
                                      (options.turns_by_exif && fixed->height != fixed->width));
  return {.images = source.size(),
          .classes = text_digest(shard_classes_text(source.class_names())),
          .source = set_digest(source),
          .encoding = encoding,
          .shard_mib = options.shard_mib,
          .fixed_size = sizes_change ? std::nullopt : fixed};
}

/// A shard that grows.
class ShardWriter {
 public:
  ShardWriter(const fs::path& folder, const std::string& name) : file_((folder / name).string()), shard_{.file = name} {}

  const Shard& shard() const { return shard_; }

  void add(const std::string& key, const PackedImage& image, const std::string& sample, int32_t label) {
    shard_.images.push_back(
        {.name = key + "." + image.ending, .offset = shard_.bytes + kTarBlock, .size = image.bytes.size(), .label = label});
    write(sample);
  }

  /// Makes the shard appear under its name.
  const Shard& finish() {
    write(tar_end());
    file_.commit();
    shard_.digest = fnv_.digest();
    return shard_;
  }

 private:
  void write(const std::string& bytes) {
    file_.write(bytes);
    fnv_.add(bytes);
    shard_.bytes += bytes.size();
  }

  AtomicFile file_;
  Fnv fnv_;
  Shard shard_;
};

class Packer {
 public:
  Packer(const ImageSource& source, Split split, const fs::path& folder, const PackOptions& options)
      : source_(source),
        split_(split),
        folder_(folder),
        options_(options),
        lock_(lock(folder)),
        index_(open_index()),
        scratch_(std::max<size_t>(1, workers(options))),
        packed_(scratch_.size() * kImagesPerWorker),
        pool_(static_cast<int64_t>(workers(options))) {}

  PackResult pack(const PackProgress& progress) {
    bool go_on = progress(next_);
    while (go_on && next_ < source_.size()) {
      const int64_t end = std::min(source_.size(), next_ + static_cast<int64_t>(packed_.size()));
      prepare(next_, end);
      for (int64_t i = next_; i < end; ++i) {
        add(i, packed_[static_cast<size_t>(i - next_)]);
      }
      next_ = end;
      go_on = progress(next_);
    }
    if (next_ == source_.size()) {
      finish_shard();
    }
    result_.complete = result_.images == source_.size();
    return result_;
  }

 private:
  static constexpr size_t kImagesPerWorker = 16;

  static size_t workers(const PackOptions& options) { return static_cast<size_t>(count_workers(options.workers)); }

  static FileLock lock(const fs::path& folder) {
    if (file_system().make_folders(folder.string()) != 0) {
      fail_io("create the folder", folder.string(), errno);
    }
    FileLock lock = FileLock::attempt(folder.string());
    if (lock.busy()) {
      fail_usage("folder '{}' is in use: another process writes shards into it", folder.string());
    }
    return lock;
  }

  /// Takes over what an earlier call has packed. Writes the index without its damaged last lines, if there are any.
  AppendFile open_index() {
    const std::string path = (folder_ / shard_index_name(split_)).string();
    const ShardHeader header = header_of(source_, options_);
    std::string text = to_line(header);
    if (!fs::exists(path)) {
      if (!list_shards(folder_, split_).empty()) {
        fail_usage("folder '{}' holds shards without {}: choose another folder", folder_.string(), shard_index_name(split_));
      }
    } else {
      remove_temporary_files(folder_.string());
      const ShardIndex index = read_shard_index(path, static_cast<int64_t>(source_.class_names().size()), true);
      if (index.header != header) {
        fail_usage(
            "folder '{}' holds shards of other images or of other options: choose another folder, or delete its shards and {}",
            folder_.string(), shard_index_name(split_));
      }
      for (const Shard& shard : index.shards) {
        std::error_code error;
        if (shard.file != shard_name(split_, result_.shards) || fs::file_size(folder_ / shard.file, error) != shard.bytes) {
          break;
        }
        count(shard);
        text += to_line(shard);
      }
    }
    result_.kept = next_ = result_.images;
    write_classes();
    atomic_write(path, text);
    return AppendFile(path);
  }

  void write_classes() const {
    const fs::path path = folder_ / "classes.txt";
    const std::string text = shard_classes_text(source_.class_names());
    if (!fs::exists(path)) {
      atomic_write(path.string(), text);
    } else if (shard_classes_text(read_shard_classes(folder_)) != text) {
      fail_usage("'{}' has other classes than the images: choose another folder", path.string());
    }
  }

  void prepare(int64_t begin, int64_t end) {
    std::vector<WorkerPool::Job> jobs;
    for (int64_t i = begin; i < end; ++i) {
      PackedImage& out = packed_[static_cast<size_t>(i - begin)];
      jobs.emplace_back([this, i, &out](int64_t worker) {
        pack_image(source_, i, options_, scratch_[static_cast<size_t>(worker)], out);
        ++prepared_;
      });
    }
    prepared_ = 0;
    pool_.submit(std::move(jobs));
    pool_.wait_until([&] { return prepared_ == end - begin; });
  }

  void add(int64_t i, const PackedImage& image) {
    const std::string key = sample_key(source_, i);
    const std::string label = fmt::format("{}", source_.label(i));
    sample_.clear();
    append_tar_member(sample_, fmt::format("{}.{}", key, image.ending), image.bytes);
    append_tar_member(sample_, key + ".cls", {reinterpret_cast<const uint8_t*>(label.data()), label.size()});
    if (writer_ &&
        writer_->shard().bytes + sample_.size() + tar_end().size() > static_cast<uint64_t>(options_.shard_mib) * kMiB) {
      finish_shard();
    }
    if (!writer_) {
      writer_.emplace(folder_, shard_name(split_, result_.shards));
    }
    writer_->add(key, image, sample_, source_.label(i));
    result_.encoded += image.encoded ? 1 : 0;
    result_.undecodable += image.undecodable ? 1 : 0;
  }

  void finish_shard() {
    if (writer_) {
      const Shard& shard = writer_->finish();
      index_.append(to_line(shard));
      count(shard);
      writer_.reset();
    }
  }

  void count(const Shard& shard) {
    ++result_.shards;
    result_.images += static_cast<int64_t>(shard.images.size());
    result_.bytes += shard.bytes;
  }

  const ImageSource& source_;
  const Split split_;
  const fs::path folder_;
  const PackOptions options_;
  PackResult result_;
  int64_t next_ = 0;  // image
  const FileLock lock_;
  AppendFile index_;
  std::optional<ShardWriter> writer_;
  std::string sample_;
  std::atomic<int64_t> prepared_ = 0;
  std::vector<PackScratch> scratch_;  // of each worker
  std::vector<PackedImage> packed_;
  WorkerPool pool_;  // last, so that its threads end before the data they use
};

}  // namespace

void declare(Settings& s, PackOptions& o) {
  s.number("shorter-side", o.shorter_side, between(1, 1 << 15),
           "Scale images whose shorter side has more pixels to this many, and store them as JPEG.")
      .default_is("every image is stored as it is");
  s.flag("exif", o.turns_by_exif,
         "Rotate each photo by its EXIF orientation, and store those photos as JPEG. By default, photos keep their orientation "
         "data, and --exif of train-imagenet rotates them.");
  s.number("quality", o.quality, between(1, 100), "JPEG quality of the images that are scaled or rotated.");
  declare_max_pixels(s, o.max_pixels);
  s.number("shard-size", o.shard_mib, between(1, 1 << 20), "Size of a shard in MiB.");
  s.add(workers_setting(o.workers, "Threads that read and encode images. auto: one per core.")).alias("j");
}

PackResult pack(const ImageSource& source, Split split, const fs::path& folder, const PackOptions& options,
                const PackProgress& progress) {
  return Packer(source, split, folder, options).pack(progress);
}

}  // namespace residua
