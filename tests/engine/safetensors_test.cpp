#include "engine/safetensors.h"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tests/engine/temporary_folder.h"

using protolith::DType;
using protolith::Error;
using protolith::read_safetensors;
using protolith::SafeTensors;
using protolith::Shape;
using protolith::Tensor;
using protolith::write_safetensors;
using protolith::testing::slurp;
using protolith::testing::spill;
using protolith::testing::TemporaryFolder;

namespace {

template <class T>
Tensor tensor_of(std::vector<T> values, Shape shape) {
  return Tensor::of(std::span<const T>(values), shape);
}

std::string length_bytes(std::uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  return bytes;
}

/// A file by the format's description: header length, header, data.
std::string file_bytes(const std::string& header, const std::string& data) {
  return length_bytes(header.size()) + header + data;
}

/// The message of the Error that reading `bytes` throws.
std::string refusal(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "hostile.safetensors";
  spill(path, bytes);
  try {
    read_safetensors(path);
  } catch (const Error& error) {
    const std::string message = error.what();
    CHECK_MESSAGE(message.starts_with(path.string()), message);
    return message;
  }
  return "no error";
}

/// One F32 tensor "w" with 4 values, with a header of the caller's.
std::string refusal_of_header(const std::string& header) {
  return refusal(file_bytes(header, std::string(16, '\0')));
}

void check_refused(const std::string& header, const std::string& part) {
  CAPTURE(header.substr(0, 200));
  const std::string message = refusal_of_header(header);
  CHECK_MESSAGE(message.find(part) != std::string::npos, message);
}

constexpr const char* kGood = R"({"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})";

}  // namespace

TEST_CASE("every type, rank and metadata survives a round trip") {
  const TemporaryFolder folder;
  SafeTensors contents;
  const float infinity = std::numeric_limits<float>::infinity();
  contents.tensors["encoder.0.0.weight"] =
      tensor_of<float>({1.5F, -0.0F, infinity, 1e-45F, 5, 6, 7, 8}, {2, 2, 1, 2});
  contents.tensors["images"] = tensor_of<std::uint8_t>({0, 255, 7}, {3});
  contents.tensors["labels"] = tensor_of<std::int32_t>({-1, INT32_MIN}, {1, 2});
  contents.tensors["steps"] = tensor_of<std::int64_t>({INT64_MIN}, {});
  contents.tensors["name with \" and \\ and \xc3\xa9"] = tensor_of<float>({3.0F}, {1});
  contents.metadata = {{"architecture", "conv4"}, {"empty", ""}, {"quoted", "a \"b\"\n"}};
  write_safetensors(folder / "file", contents);
  CHECK(folder.entries() == 1);

  const SafeTensors found = read_safetensors(folder / "file");
  CHECK(found.metadata == contents.metadata);
  REQUIRE(found.tensors.size() == contents.tensors.size());
  for (const auto& [name, tensor] : contents.tensors) {
    const std::string& label = name;  // clang 14 cannot capture a structured binding
    CAPTURE(label);
    const Tensor& other = found.tensors.at(label);
    CHECK(other.shape() == tensor.shape());
    REQUIRE(other.dtype() == tensor.dtype());
    CHECK(std::memcmp(other.raw(), tensor.raw(), tensor.bytes()) == 0);
  }
}

TEST_CASE("a file without tensors is a file") {
  const TemporaryFolder folder;
  write_safetensors(folder / "file", {});
  const SafeTensors found = read_safetensors(folder / "file");
  CHECK(found.tensors.empty());
  CHECK(found.metadata.empty());
}

TEST_CASE("the bytes are those of the format: wider types first, then names, aligned") {
  const TemporaryFolder folder;
  SafeTensors contents;
  contents.tensors["a"] = tensor_of<std::uint8_t>({1, 2, 3}, {3});
  contents.tensors["b"] = tensor_of<float>({1.0F}, {1, 1});
  contents.tensors["c"] = tensor_of<std::int64_t>({-2}, {});
  contents.tensors["d"] = tensor_of<std::int32_t>({258}, {1});
  contents.metadata = {{"z", "1"}, {"y", "2"}};
  std::string header = R"({"__metadata__":{"y":"2","z":"1"},)"
                       R"("c":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                       R"("b":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]},)"
                       R"("d":{"dtype":"I32","shape":[1],"data_offsets":[12,16]},)"
                       R"("a":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";
  while (header.size() % 8 != 0) header += ' ';
  const std::string data = std::string("\xfe\xff\xff\xff\xff\xff\xff\xff", 8) +
                           std::string("\x00\x00\x80\x3f", 4) + std::string("\x02\x01\x00\x00", 4) +
                           "\x01\x02\x03";
  for (int i = 0; i < 2; ++i) {
    write_safetensors(folder / "file", contents);
    CHECK(slurp(folder / "file") == file_bytes(header, data));
  }
}

TEST_CASE("a file as the Python package writes it is read") {
  // save_file({"b": int64 [2, 1], "a": float32 [2]}, metadata={"format": "pt"}), by the format's
  // description; data in the header's order, which is not that of the names.
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[2,1],"data_offsets":[0,16]},)"
      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}}   )";
  const std::int64_t b[] = {7, -7};
  const float a[] = {0.5F, -2.0F};
  const TemporaryFolder folder;
  spill(folder / "file", file_bytes(header, std::string(reinterpret_cast<const char*>(b), 16) +
                                                std::string(reinterpret_cast<const char*>(a), 8)));
  const SafeTensors found = read_safetensors(folder / "file");
  CHECK(found.metadata == std::map<std::string, std::string>{{"format", "pt"}});
  REQUIRE(found.tensors.size() == 2);
  CHECK(found.tensors.at("b").shape() == Shape{2, 1});
  CHECK(found.tensors.at("b").host_span<std::int64_t>()[1] == -7);
  CHECK(found.tensors.at("a").host_span<float>()[1] == -2.0F);
}

TEST_CASE("the good header of the hostile cases is good, in any order and with escapes") {
  for (const char* header :
       {kGood, R"({"w":{"data_offsets":[0,16],"shape":[4],"dtype":"F32"}}  )",
        R"({ "\u0077" : {"dtype":"F32", "shape":[4] ,"data_offsets":[0,16]} })"}) {
    CHECK(refusal_of_header(header) == "no error");
  }
}

TEST_CASE("header lengths that cannot be are refused") {
  const std::string good = file_bytes(kGood, std::string(16, '\0'));
  for (const std::uint64_t length :
       {std::uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 7, std::uint64_t{good.size()} - 7}) {
    CAPTURE(length);
    const std::string message = refusal(length_bytes(length) + good.substr(8));
    CHECK_MESSAGE(message.find("its header claims") != std::string::npos, message);
  }
  for (std::size_t size = 0; size < 8; ++size) {
    CHECK(refusal(good.substr(0, size)).find("get a fresh copy") != std::string::npos);
  }
  for (const std::size_t length : {0U, 1U, 10U}) {
    const std::string message = refusal(length_bytes(length) + good.substr(8));
    CHECK_MESSAGE(message.find("is not JSON") != std::string::npos, message);
  }
}

TEST_CASE("a header beyond the format's 100 MB and a file beyond the limit are refused unread") {
  const TemporaryFolder folder;
  spill(folder / "file", length_bytes(100'000'001) + "{");
  std::filesystem::resize_file(folder / "file", 200'000'000);  // sparse
  CHECK_THROWS_WITH_AS(read_safetensors(folder / "file"),
                       doctest::Contains("the format allows 100000000"), Error);
  std::filesystem::resize_file(folder / "file", (std::uintmax_t{4} << 30) + 1);
  CHECK_THROWS_WITH_AS(read_safetensors(folder / "file"),
                       doctest::Contains("more than the 4294967296 allowed"), Error);
}

TEST_CASE("a file cut anywhere is refused") {
  const std::string good = file_bytes(kGood, std::string(16, '\1'));
  REQUIRE(refusal(good) == "no error");
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK(refusal(good.substr(0, size)) != "no error");
  }
}

TEST_CASE("headers that are not JSON are refused") {
  for (const std::string_view header :
       {"", "x", "null", "[]", "  {}", "{", "{\"w\":", "{\"w\":{\"dtype\":\"F32\",}}", "{} {}",
        "{} x", "{'w':{}}", "\xef\xbb\xbf{}", "{\"\xff\":{}}", "{/* comment */}"}) {
    check_refused(std::string(header), "is not JSON");
  }
  // Zero bytes as padding end the text for many parsers.
  check_refused(std::string(kGood) + std::string(8, '\0'), "is not JSON");
}

TEST_CASE("deep nesting is refused at once") {
  check_refused(R"({"w":)" + std::string(10'000'000, '['), "has a list");
  std::string objects = "{";
  for (int i = 0; i < 1'000'000; ++i) objects += "\"w\":{";
  check_refused(objects, "unknown field \"w\"");
  check_refused(R"({"w":{"shape":[[4]]}})", "tensor \"w\" has a list");
  check_refused(R"({"w":{"dtype":{}}})", "tensor \"w\" has an object");
}

TEST_CASE("duplicates are refused") {
  const std::string entry = R"({"dtype":"F32","shape":[4],"data_offsets":[0,16]})";
  check_refused(R"({"w":)" + entry + R"(,"w":)" + entry + "}", "tensor \"w\" is there twice");
  check_refused(R"({"w":)" + entry + R"(,"\u0077":)" + entry + "}", "tensor \"w\" is there twice");
  check_refused(R"({"__metadata__":{},"w":)" + entry + R"(,"__metadata__":{}})",
                "the metadata is there twice");
  check_refused(R"({"__metadata__":{"a":"","a":""},"w":)" + entry + "}", "the key \"a\" twice");
  check_refused(R"({"w":{"dtype":"F32","dtype":"F32"}})", "the field dtype twice");
  check_refused(R"({"w":{"shape":[4],"shape":[4]}})", "the field shape twice");
  check_refused(R"({"w":{"data_offsets":[0,16],"data_offsets":[0,16]}})", "data_offsets twice");
}

TEST_CASE("metadata holds text only") {
  for (const char* value : {"1", "-1", "1.5", "null", "true", "{}", "[]"}) {
    check_refused(R"({"__metadata__":{"a":)" + std::string(value) + "}}", "the metadata has");
  }
  for (const char* value : {"1", "\"x\"", "null", "[]"}) {
    check_refused(R"({"__metadata__":)" + std::string(value) + "}", "the metadata has");
  }
}

TEST_CASE("names that are empty or hold a zero byte are refused") {
  check_refused(R"({"":{}})", "a name that is empty or holds a zero byte");
  check_refused(R"({"w\u0000":{}})", "a name that is empty or holds a zero byte");
}

TEST_CASE("entries that are no tensors are refused") {
  for (const char* value : {"1", "-1", "1.5", "null", "true", "\"x\"", "[]"}) {
    check_refused(R"({"w":)" + std::string(value) + "}", "tensor \"w\" has");
  }
  check_refused(R"({"w":{}})", "tensor \"w\" lacks one of");
  check_refused(R"({"w":{"shape":[4],"data_offsets":[0,16]}})", "tensor \"w\" lacks one of");
  check_refused(R"({"w":{"dtype":"F32","data_offsets":[0,16]}})", "tensor \"w\" lacks one of");
  check_refused(R"({"w":{"dtype":"F32","shape":[4]}})", "tensor \"w\" lacks one of");
  check_refused(R"({"w":{"dtype":"F32","stride":[4]}})", "unknown field \"stride\"");
  check_refused(R"({"w":{"dtype":1}})", "tensor \"w\" has the number 1");
  check_refused(R"({"w":{"dtype":["F32"]}})", "tensor \"w\" has a list");
  check_refused(R"({"w":{"shape":4}})", "tensor \"w\" has the number 4");
  check_refused(R"({"w":{"shape":"4"}})", "tensor \"w\" has the text \"4\"");
  check_refused(R"({"w":{"shape":[null]}})", "tensor \"w\" has null");
}

TEST_CASE("element types that the engine lacks are refused by name") {
  for (const std::string type : {"F64", "F16", "BF16", "BOOL", "I8", "U64", "F8_E4M3", "f32", ""}) {
    check_refused(R"({"w":{"dtype":")" + type + R"(","shape":[4],"data_offsets":[0,16]}})",
                  "tensor \"w\" has element type \"" + type + "\"");
  }
}

TEST_CASE("shapes that the engine cannot hold, or that do not fit their offsets, are refused") {
  const auto check_shape = [](const std::string& shape, const std::string& part) {
    check_refused(R"({"w":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,16]}})", part);
  };
  check_shape("[0]", "tensor \"w\" has a zero extent");
  check_shape("[4,0]", "tensor \"w\" has a zero extent");
  check_shape("[1,1,1,1,4]", "tensor \"w\" has more than 4 extents");
  check_shape("[-4]", "tensor \"w\" has the number -4");
  check_shape("[4.0]", "tensor \"w\" has the number \"4.0\"");
  check_shape("[18446744073709551615]", "tensor \"w\" has an impossible extent");
  check_shape("[18446744073709551620]", "tensor \"w\" has the number");
  check_shape("[1e400]", "is not JSON");
  // Products that wrap around in 64 bits: to 0 elements, to 0 bytes, and, as 274177 times
  // 67280421310721 is 2^64 + 1, to the very 16 bytes of the offsets.
  for (const char* shape :
       {"[4294967296,4294967296]", "[2147483648,2147483648,4]", "[4611686018427387904]",
        "[4611686018427387905]", "[4611686018427387904,4]", "[274177,67280421310721,4]", "[]",
        "[3]", "[5]", "[2,3]"}) {
    check_shape(shape, std::string(shape) == "[4611686018427387905]" ? "impossible extent"
                                                                     : "does not take the 16");
  }
}

TEST_CASE("offsets that are reversed, out of range or not two are refused") {
  const auto check_offsets = [](const std::string& offsets, const std::string& part) {
    check_refused(R"({"w":{"dtype":"F32","shape":[4],"data_offsets":)" + offsets + "}}", part);
  };
  check_offsets("[16,0]", "tensor \"w\" is at [16, 0)");
  check_offsets("[0,17]", "tensor \"w\" is at [0, 17) of 16 bytes");
  check_offsets("[16,32]", "tensor \"w\" is at [16, 32) of 16 bytes");
  check_offsets("[0,18446744073709551615]", "tensor \"w\" is at");
  check_offsets("[18446744073709551600,18446744073709551615]", "tensor \"w\" is at");
  check_offsets("[18446744073709551600,0]", "tensor \"w\" is at");
  check_offsets("[0]", "a lone offset");
  check_offsets("[]", "a lone offset");
  check_offsets("[0,16,16]", "a third offset");
  check_offsets("[-16,0]", "tensor \"w\" has the number -16");
  check_offsets("[0,12]", "does not take the 12 bytes");
}

TEST_CASE("tensors cover the data once, without holes") {
  const auto header = [](const std::string& a, const std::string& b) {
    return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + a +
           R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + b + "}}";
  };
  REQUIRE(refusal_of_header(header("[0,8]", "[8,16]")) == "no error");
  REQUIRE(refusal_of_header(header("[8,16]", "[0,8]")) == "no error");
  check_refused(header("[0,8]", "[0,8]"), "overlaps");
  check_refused(header("[0,8]", "[4,12]"), "tensor \"b\" at byte 4 overlaps");
  check_refused(header("[8,16]", "[4,12]"), "4 unused bytes before tensor \"b\"");
  const auto check_data = [&](const std::string& bytes, const std::string& part) {
    const std::string message = refusal(bytes);
    CHECK_MESSAGE(message.find(part) != std::string::npos, message);
  };
  check_data(file_bytes(header("[0,8]", "[12,20]"), std::string(20, '\0')),
             "4 unused bytes before tensor \"b\"");
  check_data(file_bytes(kGood, std::string(17, '\0')), "1 unused bytes at the end");
  check_data(file_bytes(kGood, std::string(4096, '\0')), "4080 unused bytes at the end");
  check_data(file_bytes("{}", "x"), "1 unused bytes at the end");
}

TEST_CASE("messages show hostile names escaped and cut") {
  const std::string message =
      refusal_of_header("{\"\\u001b[31m" + std::string(5000, 'x') + "\":{}}");
  CHECK(message.find('\x1b') == std::string::npos);
  CHECK(message.find("\\u001b[31mxxx") != std::string::npos);
  CHECK(message.size() < 400);
}

TEST_CASE("any single damaged byte gives a result or an Error") {
  const std::string good =
      file_bytes(R"({"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[2,2],)"
                 R"("data_offsets":[0,16]}})",
                 std::string(16, '\0'));
  const TemporaryFolder folder;
  int refused = 0;
  for (std::size_t place = 0; place < good.size() - 16; ++place) {
    for (const unsigned flip : {1U, 2U, 16U, 128U, 255U}) {
      std::string damaged = good;
      damaged[place] = static_cast<char>(static_cast<unsigned char>(damaged[place]) ^ flip);
      spill(folder / "file", damaged);
      try {
        read_safetensors(folder / "file");
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 0);
}

TEST_CASE("what cannot be written is refused, and the old file stays") {
  const TemporaryFolder folder;
  spill(folder / "file", "old");
  const Tensor tensor = tensor_of<float>({1.0F}, {1});
  for (const std::string& name :
       {std::string(), std::string("__metadata__"), std::string("a\0b", 3), std::string("\xff")}) {
    CAPTURE(name);
    CHECK_THROWS_AS(write_safetensors(folder / "file", {{{name, tensor}}, {}}), Error);
  }
  CHECK_THROWS_WITH_AS(write_safetensors(folder / "file", {{{"w", Tensor()}}, {}}),
                       doctest::Contains("tensor \"w\" has no values on the host"), Error);
  CHECK_THROWS_AS(write_safetensors(folder / "file", {{{"w", tensor}}, {{"k", "\xc3"}}}), Error);
  CHECK_THROWS_AS(write_safetensors(folder / "missing" / "file", {{{"w", tensor}}, {}}), Error);
  CHECK(slurp(folder / "file") == "old");
  CHECK(folder.entries() == 1);
}
