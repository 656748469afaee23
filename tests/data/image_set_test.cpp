#include "data/image_set.h"

#include <doctest/doctest.h>

#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/check.h"
#include "tests/data/fixtures.h"

namespace protolith {
namespace {

using testing::contains;
using testing::error_of;

TEST_CASE("splits have names") {
  for (const Split split : {Split::train, Split::val, Split::test, Split::trainval}) {
    CHECK(parse_split(to_string(split)) == split);
  }
  CHECK(to_string(Split::trainval) == "trainval");
  CHECK_THROWS_AS(parse_split("validation"), UsageError);
  CHECK(contains(error_of([] { parse_split("Test"); }), "train, val, test or trainval"));
}

TEST_CASE("an unknown kind of data set is a usage error that lists the known ones") {
  CHECK(parse_dataset_spec("omniglot:a:b").argument == "a:b");
  CHECK(parse_dataset_spec("synthetic").argument.empty());
  for (const char* spec : {"", ":", "cifar:x", "Omniglot:x"}) {
    CAPTURE(spec);
    CHECK_THROWS_AS(open_dataset(spec), UsageError);
    const std::string message = error_of([&] { open_dataset(spec); });
    CHECK(contains(message, "omniglot:FOLDER"));
    CHECK(contains(message, "synthetic"));
  }
  CHECK_THROWS_AS(open_dataset("omniglot"), UsageError);
  CHECK_THROWS_AS(open_dataset("omniglot:"), UsageError);
}

TEST_CASE("the content hash sees every byte, its place and the length") {
  std::string bytes(100, '\0');
  std::set<std::uint64_t> hashes = {hash_bytes(bytes.data(), bytes.size())};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = '\x80';
    hashes.insert(hash_bytes(bytes.data(), bytes.size()));
    bytes[i] = '\0';
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    hashes.insert(hash_bytes(bytes.data(), size));
  }
  CHECK(hashes.size() == 1 + 100 + 100);
}

TEST_CASE("the content hash of parts is that of the whole") {
  const std::vector<std::byte> bytes(101, std::byte{0x5a});
  for (const std::size_t first : {std::size_t{0}, std::size_t{8}, std::size_t{96}}) {
    ByteHash hash;
    hash.add(std::span(bytes).first(first));
    hash.add(std::span(bytes).subspan(first));
    CHECK(hash.value() == hash_bytes(bytes.data(), bytes.size()));
  }
}

}  // namespace
}  // namespace protolith
