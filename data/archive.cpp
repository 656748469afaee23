#include "data/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <cerrno>
#include <cstring>
#include <memory>

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

/// The data of the entry just read; it is at most `max_bytes` long, whatever its header says.
std::vector<std::byte> read_entry(archive* reader, const std::string& archive_name,
                                  const std::string& member, std::size_t max_bytes) {
  std::vector<std::byte> bytes;
  while (true) {
    const std::size_t used = bytes.size();
    constexpr std::size_t kStep = 4096;
    bytes.resize(used + kStep);
    const la_ssize_t got = archive_read_data(reader, bytes.data() + used, kStep);
    PROTOLITH_CHECK(got >= 0, "{}: member {} is damaged ({})", archive_name, member,
                    reason(reader));
    bytes.resize(used + static_cast<std::size_t>(got));
    PROTOLITH_CHECK(bytes.size() <= max_bytes, "{}: member {} has more than {} bytes", archive_name,
                    member, max_bytes);
    if (got == 0) return bytes;
  }
}

}  // namespace

void read_archive(const std::filesystem::path& file, std::size_t max_member_bytes,
                  const std::function<bool(const std::string&)>& wanted,
                  const std::function<void(const std::string&, std::vector<std::byte>)>& take) {
  const std::string name = file.string();
  const std::unique_ptr<archive, ArchiveFree> reader(archive_read_new());
  PROTOLITH_CHECK(reader != nullptr, "out of memory opening {}", name);
  archive_read_support_format_zip(reader.get());
  archive_read_support_format_tar(reader.get());
  archive_read_support_filter_all(reader.get());
  constexpr std::size_t kBlock = std::size_t{1} << 18;
  PROTOLITH_CHECK(archive_read_open_filename(reader.get(), name.c_str(), kBlock) == ARCHIVE_OK,
                  "cannot open {} as an archive ({})", name, reason(reader.get()));
  std::size_t members = 0;
  while (true) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    PROTOLITH_CHECK(status == ARCHIVE_OK || status == ARCHIVE_WARN,
                    "{} is damaged or half-downloaded after {} members ({})", name, members,
                    reason(reader.get()));
    ++members;
    const char* path = archive_entry_pathname(entry);
    if (path == nullptr || archive_entry_filetype(entry) != AE_IFREG || !wanted(path)) continue;
    const std::string member = path;
    take(member, read_entry(reader.get(), name, member, max_member_bytes));
  }
}

}  // namespace protolith
