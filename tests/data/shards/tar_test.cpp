#include "core/data/shards/tar.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/data/shards/tar_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::HasSubstr;

class Tar : public ::testing::Test {
 protected:
  std::vector<TarMember> list(const std::string& bytes) {
    write_bytes(folder_ / "x.tar", bytes);
    return list_tar(InputFile(folder_ / "x.tar"));
  }
  /// The message of the error that listing throws, or "".
  std::string failure(const std::string& bytes) {
    try {
      list(bytes);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
};

const std::string kLong = std::string(120, 'd') + "/" + std::string(90, 'n') + ".jpg";

TEST_F(Tar, ListsMembersOfEachFormat) {
  TarHeader long_size{.name = "big", .bytes = std::string(513, 'b')};
  long_size.binary_size = true;
  const std::string pax = "24 path=folder/p\xc3\xa4x.jpg\n21 mtime=1234.567890\n";
  const std::string tar = member({.name = "a.jpg", .bytes = "123"}) +                                       // one block of data
                          member({.name = "folder/", .type = '5'}) + member({.name = "empty"}) +            // no data
                          member({.name = std::string(512, 'x'), .type = '\0', .bytes = "old type"}) +      // cut to 100 bytes
                          member({.name = "@LongLink", .type = 'L', .bytes = kLong + '\0', .gnu = true}) +  // GNU
                          member({.name = "short", .bytes = "gnu", .gnu = true}) +
                          member({.name = "h", .type = 'x', .bytes = pax}) + member({.name = "name", .bytes = "pax"}) +
                          member(long_size) + kEnd;
  const std::vector<TarMember> members = list(tar);
  ASSERT_EQ(members.size(), 6U);
  EXPECT_EQ(members[0].name, "a.jpg");
  EXPECT_EQ(members[0].offset, 512U);
  EXPECT_EQ(members[1].name, "empty");
  EXPECT_EQ(members[1].offset, 4U * 512);
  EXPECT_EQ(members[2].name, std::string(100, 'x'));
  EXPECT_EQ(members[3].name, kLong);
  EXPECT_EQ(members[4].name, "folder/p\xc3\xa4x.jpg");
  EXPECT_EQ(members[5].size, 513U);
  for (const size_t i : {0U, 3U, 4U}) {
    EXPECT_EQ(tar.substr(members[i].offset, 3), (std::vector<std::string>{"123", "", "", "gnu", "pax"})[i]);
  }
}

TEST_F(Tar, WritesWhatItReads) {
  std::string tar;
  append_tar_member(tar, "a.jpg", std::vector<uint8_t>(700, 7));
  append_tar_member(tar, "a.cls", std::vector<uint8_t>{'3'});
  EXPECT_EQ(tar.size(), 512U + 1024 + 512 + 512);
  // The header as GNU tar writes it, byte by byte but for the owner's name.
  EXPECT_EQ(tar.substr(1536, 512), member({.name = "a.cls", .bytes = "3"}).substr(0, 512));
  const std::vector<TarMember> members = list(tar + tar_end());
  ASSERT_EQ(members.size(), 2U);
  EXPECT_EQ(members[1].offset, 2048U);
  EXPECT_THROW(append_tar_member(tar, std::string(101, 'a'), {}), Error);
  const std::vector<uint8_t> header(tar.begin() + 1536, tar.begin() + 2048);
  EXPECT_TRUE(is_tar_header(header, "a.cls", 1));
  EXPECT_FALSE(is_tar_header(header, "b.cls", 1));
  EXPECT_FALSE(is_tar_header(header, "a.cls", 2));
  EXPECT_FALSE(is_tar_header(std::vector<uint8_t>(512), "a.cls", 1));
}

TEST_F(Tar, NamesEachDamage) {
  const std::string good = member({.name = "a.jpg", .bytes = std::string(1000, 'a')}) + member({.name = "b.cls", .bytes = "1"});
  EXPECT_EQ(failure(good + kEnd), "");
  EXPECT_EQ(failure(good + std::string(10240 - good.size(), '\0')), "") << "a last record that is filled up";
  EXPECT_THAT(failure(""), HasSubstr("x.tar: damaged at byte 0: the file ends without an end mark after 0 members"));
  EXPECT_THAT(failure(good), HasSubstr("damaged at byte 2560: the file ends without an end mark after 2 members"));
  EXPECT_THAT(failure(good.substr(0, 1536)), HasSubstr("without an end mark after 1 members; it has been cut"));
  EXPECT_THAT(failure(good.substr(0, 1800)), HasSubstr("without an end mark"));
  EXPECT_THAT(failure(good.substr(0, 1400)), HasSubstr("byte 0: member 'a.jpg' has 1000 bytes, and the file ends after 888"));
  EXPECT_THAT(failure(good.substr(0, 1512)), HasSubstr("the file ends after 1000")) << "cut in the padding";
  EXPECT_THAT(failure(good + kEnd.substr(512)), HasSubstr("512 bytes from the end mark to the end of the file; wanted 1024"));
  EXPECT_THAT(failure(good + kEnd + std::string(20480, '\0')), HasSubstr("wanted 1024, or zeros up to a multiple of 10240"));
  EXPECT_THAT(failure(good + std::string(512, '\0') + member({.name = "c"})), HasSubstr("bytes other than zero after the end"));
  EXPECT_THAT(failure(good + kEnd + member({.name = "c"})), HasSubstr("from the end mark"));
  // Filled with zeros: all, from a member on, and within.
  EXPECT_THAT(failure(std::string(40960, '\0')), HasSubstr("40960 bytes from the end mark"));
  std::string zeros = good + kEnd;
  zeros.replace(1536, 512, std::string(512, '\0'));
  EXPECT_THAT(failure(zeros), HasSubstr("damaged at byte 1536"));
  std::string flipped = good + kEnd;
  flipped[3] ^= 1;
  EXPECT_THAT(failure(flipped), HasSubstr("damaged at byte 0: wanted the header of a member"));
}

TEST_F(Tar, NamesAWrongSize) {
  const auto with_size = [](uint64_t size) {
    return member({.name = "a.jpg", .bytes = std::string(1000, 'a'), .size = size}) + member({.name = "b", .bytes = "1"}) +
           kEnd;
  };
  EXPECT_THAT(failure(with_size(999)), HasSubstr("member 'a.jpg' does not end here; its size is wrong"));
  EXPECT_THAT(failure(with_size(400)), HasSubstr("does not end here"));
  EXPECT_THAT(failure(with_size(512)), HasSubstr("damaged at byte 1024: wanted the header"));
  EXPECT_THAT(failure(with_size(1025)), HasSubstr("member 'a.jpg' does not end here"));
  EXPECT_THAT(failure(with_size(1 << 20)), HasSubstr("has 1048576 bytes, and the file ends after"));
  EXPECT_THAT(failure(with_size(uint64_t{1} << 62)), HasSubstr("the file ends after"));
  EXPECT_THAT(failure(with_size(~uint64_t{0})), HasSubstr("damaged at byte 0")) << "GNU's form of a negative number";
}

TEST_F(Tar, RefusesNamesThatLeadOutAndWhatIsNoFile) {
  for (const char* name : {"../a.jpg", "/a.jpg", "a/../../b", "a/..", ".."}) {
    EXPECT_THAT(failure(member({.name = name}) + kEnd), HasSubstr("wanted a path inside the tar file")) << name;
  }
  EXPECT_THAT(failure(member({.name = ""}) + kEnd), HasSubstr("wanted a path"));
  EXPECT_EQ(failure(member({.name = "./a..b/..c"}) + kEnd), "");
  for (const char type : {'1', '2', '3', '4', '6', 'S', 'V'}) {
    EXPECT_THAT(failure(member({.name = "odd", .type = type}) + kEnd), HasSubstr("member 'odd' is a link")) << type;
  }
  const auto pax = [&](const std::string& text, char type = 'x') {
    return failure(member({.name = "h", .type = type, .bytes = text}) + member({.name = "a"}) + kEnd);
  };
  EXPECT_EQ(pax("10 mode=1\n"), "");
  EXPECT_THAT(pax("13 path=../x\n"), HasSubstr("'../x'"));
  EXPECT_THAT(pax(std::string("12 path=a\0b\n", 12)), HasSubstr("has the name 'a\\x00b'; wanted a path"));
  for (const char* text :
       {"99 a=b\n", "0 a=b\n", "x", "6 a=bc\n", "4 a\n", "99999999999999999999 a=b\n", "16 size=12345x7\n"}) {
    EXPECT_THAT(pax(text), HasSubstr("damaged at byte 0")) << text;
  }
  EXPECT_THAT(pax(std::string((1 << 20) + 1, '1')), HasSubstr("an extended header of 1048577 bytes"));
  EXPECT_THAT(pax("22 GNU.sparse.major=1\n"), HasSubstr("not supported"));
  EXPECT_THAT(pax("12 size=100\n", 'g'), HasSubstr("not supported"));
  EXPECT_THAT(failure(member({.name = "h", .type = 'x', .bytes = "10 path=a\n"}) + kEnd), HasSubstr("without its member"));
}

}  // namespace
}  // namespace residua::test
