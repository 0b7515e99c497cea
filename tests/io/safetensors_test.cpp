#include "core/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <numeric>
#include <random>

#include "tests/support/host_arrays.h"
#include "tests/support/peer_python.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string file_of(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

/// The message with which the file of these bytes is refused; "" when it is taken.
std::string refusal(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder / "hostile.safetensors";
  write_bytes(path, bytes);
  try {
    load_safetensors(path);
    return "";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path));
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
}

std::vector<HostArray> one_of_each() {
  std::vector<HostArray> arrays;
  for (const DType dtype : {DType::u8, DType::f32, DType::f16, DType::bf16, DType::i32, DType::i64}) {
    arrays.push_back(to_host(std::string(name(dtype)), from_values({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}, dtype)));
  }
  arrays.push_back(to_host("scalar", from_values({}, std::vector<float>{7})));
  arrays.push_back(to_host("empty", empty({0, 3}, DType::f32)));
  arrays.push_back(to_host("four", full({1, 2, 1, 3}, 0.5f, DType::f32)));
  return arrays;
}

TEST(Safetensors, WhatIsSavedIsLoaded) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  const SafetensorsMetadata metadata = {{"model", "resnet18"}, {"classes", "[\"T-shirt/top\", \"\u00e9t\u00e9\"]"}};
  const std::vector<HostArray> saved = one_of_each();
  save_safetensors(path, views(saved), metadata);
  const Safetensors loaded = load_safetensors(path);
  EXPECT_EQ(loaded.metadata, metadata);
  EXPECT_EQ(load_safetensors_metadata(path), metadata);
  EXPECT_EQ(loaded.find("absent"), nullptr);
  ASSERT_EQ(loaded.arrays.size(), saved.size());
  for (const HostArray& want : saved) {
    SCOPED_TRACE(want.name);
    const HostArray* got = loaded.find(want.name);
    ASSERT_NE(got, nullptr);
    EXPECT_EQ(got->dtype, want.dtype);
    EXPECT_EQ(got->shape, want.shape);
    EXPECT_EQ(got->bytes, want.bytes);
  }
}

TEST(Safetensors, WritesAlignedTensors) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  const std::vector<HostArray> one = one_of_each();
  save_safetensors(path, views(one));
  const std::string bytes = read_bytes(path);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  EXPECT_EQ(length % 8, 0U);
  EXPECT_LT(bytes.find("\"i64\""), bytes.find("\"f32\""));
  EXPECT_LT(bytes.find("\"bf16\""), bytes.find("\"u8\""));
}

TEST(Safetensors, LoadsAFileMadeByHand) {
  const TemporaryFolder folder;
  const std::string path = folder / "hand.safetensors";
  const std::string data = {0, 0, static_cast<char>(0x80), 0x3f, 5, 6, 7};  // 1.0f, then three bytes
  write_bytes(path, file_of(R"({"x":{"dtype":"U8","shape":[3,1],"data_offsets":[4,7]},)"
                            R"("y":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"__metadata__":{"k":"v"}}  )",
                            data));
  const Safetensors loaded = load_safetensors(path);
  ASSERT_NE(loaded.find("x"), nullptr);
  ASSERT_NE(loaded.find("y"), nullptr);
  EXPECT_EQ(to_tensor(*loaded.find("x")).to_vector(), (std::vector<float>{5, 6, 7}));
  EXPECT_EQ(loaded.find("y")->span<float>()[0], 1.0f);
  EXPECT_EQ(loaded.metadata.at("k"), "v");
}

TEST(Safetensors, RefusesHostileFiles) {
  const auto tensor = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"("x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
  };
  const auto with = [&](const std::string& dtype, const std::string& shape, const std::string& offsets, size_t data = 8) {
    return file_of("{" + tensor(dtype, shape, offsets) + "}", std::string(data, '\0'));
  };
  ASSERT_EQ(refusal(with("F32", "[2]", "[0,8]")), "");

  EXPECT_THAT(refusal(""), HasSubstr("0 bytes"));
  EXPECT_THAT(refusal("1234567"), HasSubstr("7 bytes"));
  EXPECT_THAT(refusal(std::string(8, '\xff') + "{}"), HasSubstr("18446744073709551615"));
  EXPECT_THAT(refusal(file_of("{}", "").replace(0, 1, 1, '\x03')), HasSubstr("header would take 3 bytes"));
  EXPECT_THAT(refusal(file_of("", "")), HasSubstr("does not begin with {"));
  EXPECT_THAT(refusal(file_of(" {}", "")), HasSubstr("does not begin with {"));
  EXPECT_THAT(refusal(file_of("{\"x\":", "")), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(file_of("{} {}", "")), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(file_of("{\"x\xff\":1}", "")), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(file_of("{\"x\":1e999}", "")), HasSubstr("out of range"));
  EXPECT_THAT(refusal(file_of("{\"x\":" + std::string(1'000'000, '['), "")), HasSubstr("nests deeper"));
  EXPECT_THAT(refusal(file_of("{" + tensor("U8", "[4]", "[0,4]") + "," + tensor("U8", "[4]", "[4,8]") + "}", "12345678")),
              HasSubstr("\"x\" is used twice"));
  EXPECT_THAT(refusal(file_of(R"({"x":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})", "")),
              HasSubstr("twice"));

  EXPECT_THAT(refusal(file_of("{\"x\":1}", "")), HasSubstr("must have dtype, shape and data_offsets"));
  EXPECT_THAT(refusal(file_of(R"({"x":{"dtype":"U8","shape":[0]}})", "")), HasSubstr("must have"));
  EXPECT_THAT(refusal(file_of(R"({"x":{"dtype":7,"shape":[0],"data_offsets":[0,0]}})", "")), HasSubstr("element type"));
  EXPECT_THAT(refusal(with("F64", "[1]", "[0,8]")), AllOf(HasSubstr("F64"), HasSubstr("supported are")));
  EXPECT_THAT(refusal(with("F32", "[2]", "[0,4]")), HasSubstr("needs 8 bytes"));
  EXPECT_THAT(refusal(with("F16", "[2]", "[0,8]")), HasSubstr("needs 4 bytes"));
  EXPECT_THAT(refusal(with("F32", "2", "[0,8]")), HasSubstr("not a list of sizes"));
  EXPECT_THAT(refusal(with("F32", "[-2]", "[0,8]")), HasSubstr("not a list of sizes"));
  EXPECT_THAT(refusal(with("F32", "[2.0]", "[0,8]")), HasSubstr("not a list of sizes"));
  EXPECT_THAT(refusal(with("F32", "[18446744073709551615]", "[0,8]")), HasSubstr("not a list of sizes"));
  EXPECT_THAT(refusal(with("F32", "[1,1,1,1,2]", "[0,8]")), HasSubstr("5 dimensions"));
  // 2^62 x 4 bytes wraps to 0, and 2^62 + 2 elements x 4 bytes to 8.
  EXPECT_THAT(refusal(with("F32", "[4611686018427387904]", "[0,0]", 0)), HasSubstr("more elements"));
  EXPECT_THAT(refusal(with("F32", "[4611686018427387906]", "[0,8]")), HasSubstr("more elements"));
  EXPECT_THAT(refusal(with("U8", "[4294967296,4294967296]", "[0,0]", 0)), HasSubstr("more elements"));
  // No element, yet the sizes before the zero cannot be multiplied.
  EXPECT_THAT(refusal(with("U8", "[4294967296,4294967296,0]", "[0,0]", 0)), HasSubstr("more elements"));
  EXPECT_THAT(refusal(with("U8", "[9223372036854775807]", "[0,9223372036854775807]")), HasSubstr("too large"));

  EXPECT_THAT(refusal(with("F32", "[2]", "[0]")), HasSubstr("[begin, end]"));
  EXPECT_THAT(refusal(with("F32", "[2]", "[8,0]")), HasSubstr("[begin, end]"));
  EXPECT_THAT(refusal(with("F32", "[2]", "[-8,0]")), HasSubstr("[begin, end]"));
  EXPECT_THAT(refusal(with("F32", "[4]", "[0,16]")), HasSubstr("cut short"));
  EXPECT_THAT(refusal(with("F32", "[1]", "[4,8]")), HasSubstr("after the end"));
  EXPECT_THAT(refusal(with("F32", "[1]", "[0,4]")), HasSubstr("4 bytes follow"));
  EXPECT_THAT(refusal(file_of(R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},)"
                              R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                              "12345678")),
              HasSubstr("\"b\" begins at byte 4, before the end"));
  EXPECT_THAT(refusal(file_of("{\"__metadata__\":[]}", "")), HasSubstr("not an object"));
  EXPECT_THAT(refusal(file_of("{\"__metadata__\":{\"k\":1}}", "")), HasSubstr("\"k\" is not a string"));
}

TEST(Safetensors, RefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  EXPECT_THROW(load_safetensors(folder / "missing"), UsageError);
  EXPECT_THROW(load_safetensors(folder.path()), UsageError);
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THROW(load_safetensors(folder / "fifo"), UsageError);
}

TEST(Safetensors, NamesPyTorchFilesAndHowToConvertThem) {
  const std::string zip = std::string("PK\x03\x04\x00\x00\x08\x08", 8) + "archive/data.pkl";
  const std::string pickle = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.";
  for (const std::string& bytes : {zip, pickle}) {
    const TemporaryFolder folder;
    const std::string path = folder / "it's.pth";
    write_bytes(path, bytes);
    // The command is run with a stand-in that prints its arguments.
    std::string message;
    try {
      load_safetensors(path);
    } catch (const UsageError& error) {
      message = error.what();
    }
    EXPECT_THAT(message, AllOf(HasSubstr(path + " is a PyTorch file, wanted a safetensors file"), Not(HasSubstr("\n"))));
    const size_t command = message.find("tools/convert-weights ");
    ASSERT_NE(command, std::string::npos) << message;
    std::filesystem::create_directory(folder / "tools");
    write_bytes(folder / "tools/convert-weights", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n");
    std::filesystem::permissions(folder / "tools/convert-weights", std::filesystem::perms::owner_all);
    write_bytes(folder / "pasted", message.substr(command));
    ASSERT_EQ(std::system(("cd '" + folder.path() + "' && sh pasted > out").c_str()), 0);
    EXPECT_EQ(read_bytes(folder / "out"), path + "\n" + folder / "it's.safetensors" + "\n");
  }
}

TEST(Safetensors, RefusesToSaveWhatCouldNotBeLoaded) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  const auto array = [](const char* name) { return to_host(name, zeros({2}, DType::f32)); };
  const auto save = [&](std::vector<HostArray> arrays) { save_safetensors(path, views(arrays)); };
  EXPECT_THROW(save({array("a"), array("a")}), Error);
  EXPECT_THROW(save({array("__metadata__")}), Error);
  EXPECT_THROW(save({array("\xff")}), Error);
  EXPECT_FALSE(std::filesystem::exists(path));
}

/// Mutated files are either taken or refused with Error; the sanitizer build would see anything else.
TEST(Safetensors, SurvivesMutatedFiles) {
  const TemporaryFolder folder;
  const std::string path = folder / "mutated.safetensors";
  const std::vector<HostArray> one = one_of_each();
  save_safetensors(path, views(one), {{"model", "resnet18"}});
  const std::string original = read_bytes(path);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, original.data(), sizeof header_bytes);

  std::mt19937_64 random(20151210);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const std::vector<std::string> inserts = {"{",
                                            "}",
                                            "[",
                                            "]",
                                            ",",
                                            ":",
                                            "\"",
                                            "-",
                                            "0",
                                            "9",
                                            "e9",
                                            "null",
                                            "\\u0000",
                                            "18446744073709551615",
                                            "4611686018427387904",
                                            "\"F32\"",
                                            "__metadata__"};
  int taken = 0;
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string bytes = original;
    for (size_t edits = 1 + below(3); edits > 0; --edits) {
      const size_t at = below(std::min<size_t>(bytes.size(), 8 + header_bytes));
      switch (below(5)) {
        case 0: bytes[at] = static_cast<char>(random()); break;
        case 1: bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(8)); break;
        case 2: bytes.insert(at, inserts[below(inserts.size())]); break;
        case 3: bytes.erase(at, 1 + below(8)); break;
        default: bytes[8 + below(header_bytes)] = static_cast<char>('0' + below(10)); break;
      }
      bytes.resize(std::max<size_t>(bytes.size(), 16 + header_bytes));
    }
    if (below(2) == 0) {  // keep the length right, so that more mutations reach the parser
      const uint64_t length = header_bytes + bytes.size() - original.size();
      std::memcpy(bytes.data(), &length, sizeof length);
    }
    std::filesystem::remove(path);  // ext4 syncs a file that is truncated and written again
    write_bytes(path, bytes);
    try {
      const Safetensors loaded = load_safetensors(path);
      EXPECT_LE(loaded.arrays.size(), 16U);
      ++taken;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(taken, 20);
  EXPECT_GT(refused, 2000);
}

TEST(Safetensors, PythonReadsOursAndWeReadPythons) {
  const std::string python = peer_python("numpy, safetensors");
  if (python.empty()) {
    GTEST_SKIP() << "RESIDUA_PYTHON names no Python with numpy and safetensors";
  }
  const TemporaryFolder folder;
  const std::string ours = folder / "ours.safetensors";
  const std::string theirs = folder / "theirs.safetensors";
  std::vector<HostArray> arrays = one_of_each();
  std::erase_if(arrays, [](const HostArray& array) { return array.dtype == DType::bf16; });  // numpy has none
  save_safetensors(ours, views(arrays), {{"model", "resnet18"}});
  write_bytes(folder / "peer.py", R"(
import sys
import numpy
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
tensors = load_file(sys.argv[1])
assert len(tensors) == 8, sorted(tensors)
for name in ("u8", "f32", "f16", "i32", "i64"):
    assert tensors[name].shape == (2, 3) and (tensors[name] == [[1, 2, 3], [4, 5, 6]]).all(), tensors[name]
assert tensors["u8"].dtype == numpy.uint8 and tensors["f16"].dtype == numpy.float16
assert tensors["scalar"].shape == () and tensors["scalar"] == 7
assert tensors["empty"].shape == (0, 3)
assert safe_open(sys.argv[1], "np").metadata() == {"model": "resnet18"}
save_file({**tensors, "more": numpy.arange(5, dtype=numpy.int64)}, sys.argv[2], metadata={"from": "python"})
)");
  ASSERT_EQ(std::system((python + " " + folder / "peer.py" + " " + ours + " " + theirs).c_str()), 0);
  const Safetensors loaded = load_safetensors(theirs);
  EXPECT_EQ(loaded.arrays.size(), 9U);
  EXPECT_EQ(loaded.metadata.at("from"), "python");
  ASSERT_NE(loaded.find("more"), nullptr);
  EXPECT_EQ(to_tensor(*loaded.find("more")).to_vector(), (std::vector<float>{0, 1, 2, 3, 4}));
  ASSERT_NE(loaded.find("f16"), nullptr);
  EXPECT_EQ(loaded.find("f16")->to_floats(), (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

}  // namespace
}  // namespace residua::test
