// The Python package webdataset reads our shards, and we read its.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "core/data/shards/pack.h"
#include "core/data/source.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/peer_python.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/warning_log.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;

class WebDataset : public ::testing::Test {
 protected:
  void SetUp() override {
    python_ = peer_python("webdataset, PIL, numpy");
    if (python_.empty()) {
      GTEST_SKIP() << "RESIDUA_PYTHON names no Python with webdataset, Pillow and numpy";
    }
  }
  /// Runs a script with the folder as its argument; returns its exit code.
  int run(const std::string& script) {
    write_bytes(folder_ / "peer.py", script);
    return std::system((python_ + " " + folder_ / "peer.py" + " " + folder_.path()).c_str());
  }

  std::string python_;
  TemporaryFolder folder_;
};

TEST_F(WebDataset, ReadsOurs) {
  constexpr int kImages = 12;
  for (int i = 0; i < kImages; ++i) {
    const std::string folder = std::string(i < 8 ? "train/" : "val/") + (i % 2 == 0 ? "cat/" : "dog/");
    fs::create_directories(folder_ / folder);
    const Image image = photo_image(90 + 9 * i, 140 - 4 * i, static_cast<uint64_t>(i));
    write_bytes(folder_ / folder + "n." + std::to_string(10 + i) + ".jpg", i == 3 ? encode_png(image) : encode_jpeg(image));
  }
  for (const Split split : {Split::train, Split::val}) {
    const auto photos = open_source("imagefolder", folder_.path(), split);
    for (const auto& [out, options] :
         {std::pair("whole", PackOptions{.workers = 1}), std::pair("small", PackOptions{.shorter_side = 64, .workers = 1})}) {
      const PackResult result = pack(*photos, split, folder_ / out, options, [](int64_t) { return true; });
      EXPECT_EQ(result.encoded, options.shorter_side ? photos->size() : 0);
    }
  }
  EXPECT_EQ(run(R"(
import glob, io, sys
import numpy
import PIL.Image
import webdataset
root = sys.argv[1]
for split in ("train", "val"):
    files = sorted((path for path in glob.glob(f"{root}/{split}/*/*")), key=lambda path: path.split("/")[-2:])
    wanted = [(open(path, "rb").read(), path.split("/")[-2]) for path in files]
    assert len(wanted) == {"train": 8, "val": 4}[split]
    names = open(f"{root}/whole/classes.txt").read().split()
    assert names == ["cat", "dog"]
    whole = list(webdataset.WebDataset(f"{root}/whole/{split}-000000.tar", shardshuffle=False))
    assert len(whole) == len(wanted)
    for i, (sample, (image, name)) in enumerate(zip(whole, wanted)):
        assert sample["__key__"].startswith(f"{i:08}-n"), sample["__key__"]
        assert names[int(sample["cls"])] == name
        kind = "png" if image.startswith(b"\x89PNG") else "jpg"
        assert sample[kind] == image, (i, sorted(sample))
    # Scaled as Pillow scales, which rounds once more, and encoded at the same quality.
    small = list(webdataset.WebDataset(f"{root}/small/{split}-000000.tar", shardshuffle=False).decode("pil"))
    assert len(small) == len(wanted)
    for sample, (image, name) in zip(small, wanted):
        assert names[sample["cls"]] == name
        original = PIL.Image.open(io.BytesIO(image)).convert("RGB")
        size = [side * 64 // min(original.size) for side in original.size]
        buffer = io.BytesIO()
        original.resize(size, PIL.Image.BILINEAR).save(buffer, "JPEG", quality=90)
        theirs = numpy.asarray(PIL.Image.open(buffer).convert("RGB"), dtype=float)
        ours = numpy.asarray(sample["jpg"], dtype=float)
        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        assert not numpy.isnan(ours).any() and abs(ours - theirs).mean() < 2, abs(ours - theirs).mean()
)"),
            0);
}

TEST_F(WebDataset, WritesWhatWeRead) {
  const WarningLog warnings;
  for (int i = 0; i < 3; ++i) {
    write_bytes(folder_ / std::to_string(i) + ".jpg", encode_jpeg(photo_image(20 + i, 30, static_cast<uint64_t>(i))));
  }
  write_bytes(folder_ / "classes.txt", "cat\ndog\nowl\n");
  ASSERT_EQ(run(R"(
import sys, tarfile
import numpy
import webdataset
root = sys.argv[1]
images = [open(f"{root}/{i}.jpg", "rb").read() for i in range(3)]
with webdataset.ShardWriter(f"{root}/train-%06d.tar", maxcount=4, verbose=0) as writer:
    for i in range(10):
        writer.write({"__key__": f"sample{i:06d}", "jpg": images[i % 3], "cls": i % 3, "json": {"i": i}})
for number, format in enumerate((tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
    with tarfile.open(f"{root}/val-{number:06d}.tar", "w", format=format) as tar:
        import io
        for key in ("short", "d" * 90 + "/" + "k" * 80) + (("gr\u00fcn",) if format == tarfile.PAX_FORMAT else ()):
            for ending, data in (("jpeg", images[number]), ("cls", b"2\n")):
                info = tarfile.TarInfo(f"{key}.{ending}")
                info.size, info.mtime = len(data), 1234.5678
                tar.addfile(info, io.BytesIO(data))
)"),
            0);
  const auto bytes_of = [](const ImageSource& source, int64_t i) {
    EncodedImage image;
    source.read(i, image);
    return std::string(image.bytes.begin(), image.bytes.end());
  };
  for (int again = 0; again < 2; ++again) {
    const auto train = open_source("auto", folder_.path(), Split::train);
    ASSERT_EQ(train->size(), 10);
    for (int64_t i = 0; i < 10; ++i) {
      EXPECT_EQ(train->label(i), i % 3);
      EXPECT_EQ(bytes_of(*train, i), read_bytes(folder_ / std::to_string(i % 3) + ".jpg")) << i;
    }
    EXPECT_EQ(train->name(9), folder_ / "train-000002.tar/sample000009.jpg");
    const auto val = open_source("auto", folder_.path(), Split::val);
    ASSERT_EQ(val->size(), 7);
    EXPECT_EQ(bytes_of(*val, 6), read_bytes(folder_ / "2.jpg"));
    EXPECT_EQ(val->name(4), folder_ / "val-000001.tar/gr\xc3\xbcn.jpeg");
    EXPECT_EQ(val->name(3), folder_ / "val-000001.tar/" + std::string(90, 'd') + "/" + std::string(80, 'k') + ".jpeg");
  }
}

}  // namespace
}  // namespace residua::test
