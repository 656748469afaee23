#include "data/mini_imagenet_listing.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string_view>
#include <system_error>

#include "data/archive.h"
#include "engine/check.h"
#include "engine/file.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;
using Kind = MiniImagenetPart::Kind;

constexpr std::array<Split, 3> kSplits = {Split::train, Split::val, Split::test};
constexpr std::size_t kMaxTableBytes = std::size_t{1} << 26;

/// The split of a folder or, with ".csv", of a table of that name.
std::optional<Split> split_named(std::string_view name, const std::string& ending = "") {
  for (const Split split : kSplits) {
    if (name == to_string(split) + ending) return split;
  }
  return std::nullopt;
}

std::optional<MiniImagenetPart> part_at(const fs::path& path) {
  const std::string name = path.filename().string();
  std::error_code unresolved;  // a link that leads nowhere is what it is named, and cannot be read
  const bool folder = fs::is_directory(path, unresolved);
  if (folder || unresolved) {
    if (name == "images") return MiniImagenetPart{Kind::images_folder, path};
    if (split_named(name)) return MiniImagenetPart{Kind::split_folder, path};
  }
  if (folder) return std::nullopt;
  if (names_archive(name)) return MiniImagenetPart{Kind::archive, path};
  if (split_named(name, ".csv")) return MiniImagenetPart{Kind::table, path};
  return std::nullopt;
}

/// The parts directly in `folder`, else those in its only sub-folder.
std::vector<MiniImagenetPart> parts_in(const fs::path& folder, bool look_below) {
  std::vector<MiniImagenetPart> parts;
  std::vector<fs::path> folders;
  for (const fs::path& entry : visible_entries(folder)) {
    if (const auto part = part_at(entry)) {
      parts.push_back(*part);
    } else if (std::error_code ignored; fs::is_directory(entry, ignored)) {
      folders.push_back(entry);
    }
  }
  if (parts.empty() && folders.size() == 1 && look_below) return parts_in(folders[0], false);
  return parts;
}

/// A table as text, and what messages call it.
struct Table {
  Split split;
  std::string name;
  std::string text;
};

/// Where a table gives an image a class.
struct Row {
  const Table* table;
  int line;
  std::string label;

  std::string text() const { return fmt::format("{} in {}, line {}", label, table->name, line); }
};

/// The cells of a line are walked, never gathered: a line of commas would make a table of them many
/// times its size.
class Cells {
 public:
  explicit Cells(std::string_view line) : rest_(line) {}
  /// The next cell; nothing after the last one.
  std::optional<std::string_view> next() {
    if (done_) return std::nullopt;
    const std::size_t comma = rest_.find(',');
    const std::string_view cell = rest_.substr(0, comma);
    done_ = comma == std::string_view::npos;
    if (!done_) rest_.remove_prefix(comma + 1);
    return cell;
  }

 private:
  std::string_view rest_;
  bool done_ = false;
};

/// The index of the first cell that is `name`.
std::optional<std::size_t> column_of(std::string_view line, std::string_view name) {
  Cells cells(line);
  std::size_t index = 0;
  for (auto cell = cells.next(); cell; cell = cells.next(), ++index) {
    if (*cell == name) return index;
  }
  return std::nullopt;
}

/// The cell at `index`; nothing when there are fewer.
std::optional<std::string_view> cell_at(std::string_view line, std::size_t index) {
  Cells cells(line);
  auto cell = cells.next();
  for (; cell && index > 0; --index) cell = cells.next();
  return cell;
}

/// The next line of `text`, without its end, which is removed from `text` with it.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// Calls `row(line number, file name, label)` for each row. Throws Error naming the table and the
/// line when it has no column `filename` or `label`, or a row has too few cells.
void read_rows(const Table& table,
               const std::function<void(int, const std::string&, const std::string&)>& row) {
  std::string_view rest = table.text;
  PROTOLITH_CHECK(!rest.empty(), "{}: the table is empty", table.name);
  const std::string_view head = take_line(rest);
  const auto column = [&](const char* name) {
    const std::optional<std::size_t> found = column_of(head, name);
    PROTOLITH_CHECK(found.has_value(), "{}: no column '{}' in its first line, '{}'", table.name,
                    name, head.substr(0, 80));
    return *found;
  };
  const std::size_t file_column = column("filename");
  const std::size_t label_column = column("label");
  for (int number = 2; !rest.empty(); ++number) {
    const std::string_view line = take_line(rest);
    if (line.empty()) continue;
    const auto file = cell_at(line, file_column);
    const auto label = cell_at(line, label_column);
    PROTOLITH_CHECK(file && label, "{}, line {}: {} cells, no file name and label: '{}'",
                    table.name, number, std::count(line.begin(), line.end(), ',') + 1,
                    line.substr(0, 80));
    row(number, std::string(*file), std::string(*label));
  }
}

/// Gathers files from all parts, then resolves the tables.
class Lister {
 public:
  Lister(MiniImagenetListing& listing, std::vector<Problem>& problems)
      : listing_(listing), problems_(problems) {}

  void add(const MiniImagenetPart& part) {
    const std::size_t before = images_;
    const std::string name = part.path.string();
    try {
      switch (part.kind) {
        case Kind::archive:
          add_archive(part.path);
          break;
        case Kind::split_folder:
          for (const fs::path& folder : visible_entries(part.path)) add_folder(folder);
          break;
        case Kind::images_folder:
          add_folder(part.path);
          break;
        case Kind::table:
          add_table(part.path.filename().string(), name, read_file(part.path, kMaxTableBytes));
          listing_.recognised.push_back(name + ": table");
          return;
      }
    } catch (const std::exception& error) {  // Error, or the file system's own
      problems_.push_back({error.what(), "replace " + name});
      return;
    }
    listing_.recognised.push_back(fmt::format("{}: {}, {} images", name,
                                              part.kind == Kind::archive ? "archive" : "folder",
                                              images_ - before));
  }

  void resolve_tables() {
    for (const Table& table : tables_) resolve(table);
  }

 private:
  void resolve(const Table& table) {
    std::size_t lost = 0, again = 0;
    std::string first_lost, first_again;
    try {
      read_rows(table, [&](int line, const std::string& file, const std::string& label) {
        const auto found = flat_.find(file);
        if (found == flat_.end()) {
          if (lost++ == 0) first_lost = fmt::format("line {}, images/{}", line, file);
          return;
        }
        const Row row{&table, line, label};
        const auto [other, added] = rows_.emplace(file, row);
        if (added) {
          add_image({table.split, label}, file, found->second);
        } else if (again++ == 0) {
          first_again = fmt::format("{} is {}, and {}", found->second.name(), other->second.text(),
                                    row.text());
        }
      });
    } catch (const Error& error) {
      problems_.push_back({error.what(),
                           "a table has a first line 'filename,label' and a row per image: its "
                           "file in images/, and its class as a WordNet number"});
    }
    if (lost > 0) {
      problems_.push_back(
          {fmt::format("{}: {} images are not there, the first: {}", table.name, lost, first_lost),
           "add them to the folder images beside the table"});
    }
    if (again > 0) {
      problems_.push_back({fmt::format("{}: {} rows give an image a class for the second time, the "
                                       "first: {}",
                                       table.name, again, first_again),
                           "an image is in one class, once: remove the row that is wrong"});
    }
  }

  /// Only the end of a path counts: SPLIT/WNID/FILE, images/FILE, SPLIT.csv.
  void add_archive(const fs::path& archive) {
    const auto is_table = [](const std::string& path) {
      return split_named(fs::path(path).filename().string(), ".csv").has_value();
    };
    read_archive(
        archive, kMaxTableBytes,
        [&](const std::string& path) {
          if (is_table(path)) return true;
          add_file(path, {archive, path});
          return false;
        },
        [&](const std::string& path, std::vector<std::byte> text) {
          add_table(fs::path(path).filename().string(), FileRef{archive, path}.name(), text);
        });
  }

  void add_folder(const fs::path& folder) {
    std::error_code unresolved;
    if (!fs::is_directory(folder, unresolved) && !unresolved) return;
    try {
      for (const fs::path& file : visible_entries(folder))
        add_file(file.string(), {{}, file.string()});
    } catch (const Error& error) {  // the other folders are as good as before
      problems_.push_back({error.what(), "make it readable, or remove it"});
    }
  }

  void add_file(const fs::path& path, const FileRef& place) {
    const std::string file = path.filename().string();
    if (file.starts_with('.') || !names_image(file)) return;
    ++images_;
    const std::string parent = path.parent_path().filename().string();
    const auto split = split_named(path.parent_path().parent_path().filename().string());
    if (split) {
      add_image({*split, parent}, file, place);
    } else if (parent == "images") {
      const auto [other, added] = flat_.emplace(file, place);
      if (!added) note_twice(other->second, place);
    } else {
      --images_;
    }
  }

  void add_table(const std::string& file, const std::string& name,
                 const std::vector<std::byte>& text) {
    tables_.push_back({*split_named(file, ".csv"),
                       name,
                       {reinterpret_cast<const char*>(text.data()), text.size()}});
  }

  void add_image(const MiniImagenetListing::Place& place, const std::string& file,
                 const FileRef& at) {
    const auto [other, added] = listing_.classes[place].emplace(file, at);
    if (!added) note_twice(other->second, at);
  }

  void note_twice(const FileRef& first, const FileRef& second) {
    if (++doubles_ > 1) return;  // one says enough: most likely all came twice
    problems_.push_back(
        {fmt::format("an image comes twice: {} and {}", first.name(), second.name()),
         "remove one of the two, or give the path of the right archive alone"});
  }

  MiniImagenetListing& listing_;
  std::vector<Problem>& problems_;
  std::map<std::string, FileRef> flat_;  // images/FILE, for tables to refer to
  std::vector<Table> tables_;
  std::map<std::string, Row> rows_;  // by file, the first of each
  std::size_t images_ = 0, doubles_ = 0;
};

}  // namespace

std::vector<MiniImagenetPart> find_mini_imagenet(const fs::path& path,
                                                 std::vector<Problem>& problems) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return {{Kind::archive, path}};
  std::vector<MiniImagenetPart> parts;
  if (!fs::is_directory(path, ignored)) {
    problems.push_back({fmt::format("there is no file or folder {}", path.string()),
                        "give miniImageNet's archive, or the folder that holds it"});
    return parts;
  }
  parts = parts_in(path, true);
  if (parts.empty()) {
    problems.push_back(
        {fmt::format("{} holds no miniImageNet", path.string()),
         "it should hold archives (.zip, .tar, .tar.zst), or folders train, val and test with a "
         "folder per class, or a folder images with train.csv, val.csv and test.csv"});
  }
  return parts;
}

MiniImagenetListing list_mini_imagenet(const std::vector<MiniImagenetPart>& parts,
                                       std::vector<Problem>& problems) {
  MiniImagenetListing listing;
  Lister lister(listing, problems);
  for (const MiniImagenetPart& part : parts) lister.add(part);
  lister.resolve_tables();
  return listing;
}

}  // namespace protolith
