#include "data/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/check.h"
#include "tests/data/fixtures.h"
#include "tests/engine/environment.h"

namespace protolith {
namespace {

using testing::contains;
using testing::error_of;
using testing::Files;
using testing::spill;
using testing::TemporaryFolder;

constexpr std::size_t kMaxMember = std::size_t{1} << 26;

/// The members that the archive gives when those with `ending` are wanted.
Files read(const std::filesystem::path& file, const std::string& ending = "") {
  Files files;
  read_archive(
      file, kMaxMember, [&](const std::string& path) { return path.ends_with(ending); },
      [&](const std::string& path, const std::vector<std::byte>& bytes) {
        files[path] = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
      });
  return files;
}

/// A tar archive through the compressions, the innermost first, or a zip without any. Each member
/// has `bytes` zeros.
void write_zeros(const std::filesystem::path& file, const std::vector<std::string>& members,
                 std::size_t bytes, const std::vector<int>& filters, bool zip = false) {
  archive* out = archive_write_new();
  for (auto filter = filters.rbegin(); filter != filters.rend(); ++filter) {
    REQUIRE(archive_write_add_filter(out, *filter) == ARCHIVE_OK);
  }
  zip ? archive_write_set_format_zip(out) : archive_write_set_format_ustar(out);
  REQUIRE(archive_write_open_filename(out, file.c_str()) == ARCHIVE_OK);
  const std::string zeros(std::size_t{1} << 20, '\0');
  for (const std::string& member : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, member.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(bytes));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_write_header(out, entry);
    for (std::size_t left = bytes; left > 0; left -= std::min(left, zeros.size())) {
      archive_write_data(out, zeros.data(), std::min(left, zeros.size()));
    }
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
}

/// Numbers as zip has them.
std::string little_endian(std::uint32_t value, int bytes) {
  std::string text;
  for (; bytes > 0; --bytes, value >>= 8U) text += static_cast<char>(value & 0xffU);
  return text;
}

/// A zip of one member "a", compressed by a method of that number.
std::string zip_of_method(std::uint32_t method, const std::string& data) {
  const auto size = static_cast<std::uint32_t>(data.size());
  const std::string common = little_endian(20, 2) + little_endian(0, 2) + little_endian(method, 2) +
                             little_endian(0, 8) + little_endian(size, 4) + little_endian(1000, 4) +
                             little_endian(1, 2) + little_endian(0, 2);
  const std::string local = "PK\x03\x04" + common + "a" + data;
  const std::string central =
      "PK\x01\x02" + little_endian(20, 2) + common + little_endian(0, 14) + "a";
  return local + central + "PK\x05\x06" + little_endian(0, 4) + little_endian(1, 2) +
         little_endian(1, 2) + little_endian(static_cast<std::uint32_t>(central.size()), 4) +
         little_endian(static_cast<std::uint32_t>(local.size()), 4) + little_endian(0, 2);
}

TEST_CASE("zip, and tar in each of its compressions, are read") {
  const TemporaryFolder folder;
  const Files files = {{"a.txt", "one"}, {"b/c.txt", "two"}};
  for (const char* name : {"a.zip", "a.tar", "a.tar.zst"}) {
    testing::write_archive(folder / name, files);
    CAPTURE(name);
    CHECK(read(folder / name) == files);
    CHECK(read(folder / name, "c.txt") == Files{{"b/c.txt", "two"}});
  }
  for (const int filter : {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_BZIP2, ARCHIVE_FILTER_XZ}) {
    write_zeros(folder / "a.tar.x", {"a", "b"}, 1000, {filter});
    CAPTURE(filter);
    CHECK(read(folder / "a.tar.x", "b") == Files{{"b", std::string(1000, '\0')}});
  }
}

TEST_CASE("no archive has a program started") {
  // libarchive would start these for compressions that it does not know itself.
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "bin");
  for (const char* program : {"lrzip", "lzop", "grzip"}) {
    const std::filesystem::path path = folder / "bin" / program;
    spill(path, "#!/bin/sh\n: >'" + (folder / "started").string() + "'\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }
  const std::string path = (folder / "bin").string() + ":/usr/bin:/bin";
  const testing::Environment programs("PATH", path.c_str());
  const std::vector<std::string> magics = {std::string("LRZI\0\6", 6),
                                           std::string("\x89LZO\0\r\n\x1a\n", 9),
                                           std::string("GRZipII\0\2\4:)", 12)};
  for (const std::string& magic : magics) {
    spill(folder / "a.tar.lrz", magic + std::string(4096, '\1'));
    CAPTURE(magic);
    CHECK(contains(error_of([&] { read(folder / "a.tar.lrz"); }), "gzip, bzip2, xz or zstd"));
    CHECK_FALSE(std::filesystem::exists(folder / "started"));
  }
}

TEST_CASE("an archive that is compressed twice is refused") {
  const TemporaryFolder folder;
  write_zeros(folder / "a.tar.gz.gz", {"a"}, 100, {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_GZIP});
  CHECK(contains(error_of([&] { read(folder / "a.tar.gz.gz"); }), "compressed 2 times over"));
  write_zeros(folder / "a.tar.zst.xz", {"a"}, 100, {ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_XZ});
  CHECK(contains(error_of([&] { read(folder / "a.tar.zst.xz"); }), "compressed 2 times over"));
  write_zeros(folder / "a.zip.gz", {"a"}, 100, {ARCHIVE_FILTER_GZIP}, true);
  CHECK(contains(error_of([&] { read(folder / "a.zip.gz"); }), "compressed 2 times over"));
}

TEST_CASE("the limit is 256 MiB and 64 times the size") {
  CHECK(archive_expansion_limit(0) == 1U << 28);
  CHECK(archive_expansion_limit(1'000'000) == (1U << 28) + 64'000'000);
  CHECK(archive_expansion_limit(~std::uint64_t{0}) == ~std::uint64_t{0});
}

TEST_CASE("a decompression bomb is refused, its members wanted or not") {
  const TemporaryFolder folder;
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  write_zeros(folder / "a.tar.zst", {"a"}, 300 * kMiB, {ARCHIVE_FILTER_ZSTD});
  REQUIRE(std::filesystem::file_size(folder / "a.tar.zst") < kMiB / 2);
  CHECK(contains(error_of([&] { read(folder / "a.tar.zst", "nothing"); }), "decompression bomb"));
  CHECK(contains(error_of([&] { read(folder / "a.tar.zst"); }), "more than 67108864 bytes"));
  write_zeros(folder / "b.tar.zst", {"a", "b", "c", "d", "e"}, 60 * kMiB, {ARCHIVE_FILTER_ZSTD});
  CHECK(contains(error_of([&] { read(folder / "b.tar.zst"); }), "decompression bomb"));
  const std::vector<std::string> many(5, "same");
  write_zeros(folder / "a.zip", many, 60 * kMiB, {}, true);
  CHECK(read(folder / "a.zip", "nothing").empty());
  CHECK(contains(error_of([&] { read(folder / "a.zip"); }), "decompression bomb"));
}

TEST_CASE("zip members are stored or deflated, since other methods take memory as they like") {
  const TemporaryFolder folder;
  spill(folder / "stored.zip", zip_of_method(0, ""));
  CHECK(error_of([&] { read(folder / "stored.zip"); }).find("compressed in a way") ==
        std::string::npos);
  // LZMA with a dictionary of 4 GiB, then PPMd.
  const std::string lzma("\x09\x14\x05\x00\x5d\xff\xff\xff\xff\0\0\0\0\0", 14);
  spill(folder / "lzma.zip", zip_of_method(14, lzma));
  CHECK(contains(error_of([&] { read(folder / "lzma.zip"); }), "(lzma)"));
  CHECK(read(folder / "lzma.zip", "nothing").empty());
  spill(folder / "ppmd.zip", zip_of_method(98, std::string("\xff\x0f\0\0\0\0", 6)));
  CHECK(contains(error_of([&] { read(folder / "ppmd.zip"); }), "stored or deflated"));
}

}  // namespace
}  // namespace protolith
