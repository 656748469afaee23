#include "data/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>
#include <system_error>

#include "engine/check.h"

namespace protolith {
namespace {

struct ArchiveFree {
  void operator()(archive* reader) const noexcept { archive_read_free(reader); }
};

std::string reason(archive* reader) {
  const char* text = archive_error_string(reader);
  std::string line = text != nullptr ? text : "no reason given";
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return line;
}

/// Turns on the two formats and the four compressions that data sets come in. Of others libarchive
/// knows some by running a program, which no file may cause; it would do so as well for one of the
/// four that it was built without.
void support_formats(archive* reader) {
  archive_read_support_format_zip(reader);
  archive_read_support_format_tar(reader);
  if (archive_zlib_version() != nullptr) archive_read_support_filter_gzip(reader);
  if (archive_bzlib_version() != nullptr) archive_read_support_filter_bzip2(reader);
  if (archive_liblzma_version() != nullptr) archive_read_support_filter_xz(reader);
  if (archive_libzstd_version() != nullptr) archive_read_support_filter_zstd(reader);
}

/// An open archive, read member by member. Everything that is decompressed on the way counts
/// towards a limit, so that a small file cannot keep the program busy for long.
class Reader {
 public:
  Reader(const std::filesystem::path& file, std::size_t max_member_bytes)
      : name_(file.string()), max_member_bytes_(max_member_bytes), reader_(archive_read_new()) {
    PROTOLITH_CHECK(reader_ != nullptr, "out of memory opening {}", name_);
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(file, error);
    limit_ = archive_expansion_limit(error ? 0 : size);
    support_formats(reader_.get());
    constexpr std::size_t kBlock = std::size_t{1} << 16;
    PROTOLITH_CHECK(archive_read_open_filename(reader_.get(), name_.c_str(), kBlock) == ARCHIVE_OK,
                    "cannot open {} as an archive ({}); zip is read, and tar, plain or compressed "
                    "by gzip, bzip2, xz or zstd",
                    name_, reason(reader_.get()));
    check_layers(1);
  }

  /// The next member, or null after the last one.
  archive_entry* next() {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader_.get(), &entry);
    if (status == ARCHIVE_EOF) return nullptr;
    PROTOLITH_CHECK(status == ARCHIVE_OK || status == ARCHIVE_WARN,
                    "{} is damaged or half-downloaded after {} members ({})", name_, members_,
                    reason(reader_.get()));
    if (members_++ == 0 && is_zip()) check_layers(0);
    check_limit();
    return entry;
  }

  /// The data of the member just come to; it is at most max_member_bytes long, whatever its header
  /// says.
  std::vector<std::byte> read(const std::string& member) {
    check_method(member);
    std::vector<std::byte> bytes;
    while (true) {
      const std::size_t used = bytes.size();
      constexpr std::size_t kStep = 4096;
      bytes.resize(used + kStep);
      const la_ssize_t got = archive_read_data(reader_.get(), bytes.data() + used, kStep);
      PROTOLITH_CHECK(got >= 0, "{}: member {} is damaged ({})", name_, member,
                      reason(reader_.get()));
      bytes.resize(used + static_cast<std::size_t>(got));
      PROTOLITH_CHECK(bytes.size() <= max_member_bytes_, "{}: member {} has more than {} bytes",
                      name_, member, max_member_bytes_);
      members_bytes_ += static_cast<std::uint64_t>(got);
      check_limit();
      if (got == 0) return bytes;
    }
  }

  /// Passes over the data of the member just come to. libarchive by itself would decompress all of
  /// it, however much that is, before it returned.
  void skip(archive_entry* entry, const std::string& member) {
    const bool seekable = layers() == 0 && (!is_zip() || archive_entry_size_is_set(entry) != 0);
    if (seekable) return;  // by next()
    check_method(member);
    while (true) {
      const void* data = nullptr;
      std::size_t bytes = 0;
      la_int64_t offset = 0;
      const int status = archive_read_data_block(reader_.get(), &data, &bytes, &offset);
      if (status == ARCHIVE_EOF) return;
      PROTOLITH_CHECK(status == ARCHIVE_OK || status == ARCHIVE_WARN,
                      "{}: member {} is damaged ({})", name_, member, reason(reader_.get()));
      members_bytes_ += bytes;
      check_limit();
    }
  }

 private:
  /// The compressions around the archive itself.
  int layers() const { return archive_filter_count(reader_.get()) - 1; }
  bool is_zip() const {
    return (archive_format(reader_.get()) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP;
  }

  void check_layers(int most) const {
    PROTOLITH_CHECK(layers() <= most,
                    "{} is compressed {} times over, as nothing but a decompression bomb is; "
                    "unpack it by hand if it is to be trusted",
                    name_, layers() + (most == 0 ? 1 : 0));
  }

  /// Of zip's methods the rarer ones take memory as the file asks for, gigabytes of it.
  void check_method(const std::string& member) const {
    if (!is_zip()) return;
    const char* text = archive_format_name(reader_.get());  // "ZIP 2.0 (deflation)"
    const std::string_view method = text != nullptr ? text : "";
    PROTOLITH_CHECK(method.ends_with("(deflation)") || method.ends_with("(uncompressed)"),
                    "{}: member {} is compressed in a way that is not read ({}); pack it again, "
                    "stored or deflated",
                    name_, member, method);
  }

  void check_limit() const {
    const auto decompressed =
        static_cast<std::uint64_t>(std::max<la_int64_t>(archive_filter_bytes(reader_.get(), 0), 0));
    PROTOLITH_CHECK((layers() == 0 || decompressed <= limit_) && members_bytes_ <= limit_,
                    "{} expands to more than {} bytes, far more than images do; it may be a "
                    "decompression bomb, so unpack it by hand if it is to be trusted",
                    name_, limit_);
  }

  std::string name_;
  std::size_t max_member_bytes_;
  std::unique_ptr<archive, ArchiveFree> reader_;
  std::uint64_t limit_ = 0;
  std::uint64_t members_bytes_ = 0;
  std::size_t members_ = 0;
};

}  // namespace

std::uint64_t archive_expansion_limit(std::uint64_t file_bytes) {
  constexpr std::uint64_t kAlways = std::uint64_t{1} << 28;
  constexpr std::uint64_t kRatio = 64;
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  return file_bytes > (kMost - kAlways) / kRatio ? kMost : kAlways + kRatio * file_bytes;
}

void read_archive(const std::filesystem::path& file, std::size_t max_member_bytes,
                  const std::function<bool(const std::string&)>& wanted,
                  const std::function<void(const std::string&, std::vector<std::byte>)>& take) {
  Reader reader(file, max_member_bytes);
  while (archive_entry* entry = reader.next()) {
    const char* path = archive_entry_pathname(entry);
    const std::string member = path != nullptr ? path : "";
    if (path != nullptr && archive_entry_filetype(entry) == AE_IFREG && wanted(member)) {
      take(member, reader.read(member));
    } else {
      reader.skip(entry, member);
    }
  }
}

}  // namespace protolith
