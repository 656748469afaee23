#include "data/cache.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "data/mapped_file.h"
#include "engine/check.h"
#include "engine/file.h"

// A cache file is a header, a description (key, names, classes) and, from the next page boundary
// on, the pixels. It is private to this machine: numbers are in its byte order.

namespace protolith {
namespace {

constexpr std::array<char, 8> kMagic = {'P', 'R', 'O', 'T', 'O', 'S', 'E', 'T'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kCheckBlock = std::size_t{16} << 20;

struct Header {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t header_bytes = sizeof(Header);
  std::uint64_t description_bytes = 0;
  std::uint64_t description_hash = 0;
  std::uint64_t pixel_offset = 0;
  std::uint64_t pixel_bytes = 0;
  std::uint64_t pixel_hash = 0;
  std::uint64_t header_hash = 0;  // of all the above
};
static_assert(std::is_trivially_copyable_v<Header> && sizeof(Header) == 64);

std::uint64_t hash_of(const Header& header) {
  return hash_bytes(&header, offsetof(Header, header_hash));
}

class Writer {
 public:
  template <class T>
  void number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void text(const std::string& value) {
    number<std::uint64_t>(value.size());
    bytes_ += value;
  }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

/// Reads what Writer wrote; throws Error instead of reading past the end.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
  template <class T>
  T number() {
    T value{};
    const auto bytes = take(sizeof(T));
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  std::string text() {
    const auto bytes = take(number<std::uint64_t>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> take(std::uint64_t count) {
    PROTOLITH_CHECK(count <= rest_.size(), "the description ends early");
    const auto front = rest_.first(static_cast<std::size_t>(count));
    rest_ = rest_.subspan(static_cast<std::size_t>(count));
    return front;
  }
  std::span<const std::byte> rest_;
};

std::string describe(const CacheKey& key, const Dataset& dataset) {
  Writer out;
  out.text(key.identity);
  out.text(key.state);
  out.text(dataset.kind);
  out.text(dataset.source);
  out.text(dataset.preprocessing);
  for (const std::int64_t extent : dataset.images.shape().extents()) out.number(extent);
  for (const float scale : dataset.scale) out.number(scale);
  for (const float shift : dataset.shift) out.number(shift);
  for (const std::vector<ImageClass>& split : dataset.splits) {
    out.number<std::uint64_t>(split.size());
    for (const ImageClass& c : split) {
      out.text(c.name);
      for (const std::int32_t value : {c.first, c.count, c.turns}) out.number(value);
    }
  }
  return out.bytes();
}

ImageClass read_class(Reader& in, const Shape& shape) {
  ImageClass c;
  c.name = in.text();
  c.first = in.number<std::int32_t>();
  c.count = in.number<std::int32_t>();
  c.turns = in.number<std::int32_t>();
  const bool inside = c.first >= 0 && c.count >= 0 && std::int64_t{c.first} + c.count <= shape[0];
  const bool turnable = c.turns >= 0 && c.turns <= 3 && (c.turns % 2 == 0 || shape[1] == shape[2]);
  PROTOLITH_CHECK(inside && turnable, "class '{}' does not fit the images", c.name);
  return c;
}

/// The rest of a description after the key: all but the pixels, of which `shape` is the shape.
Dataset read_description(Reader& in, Shape& shape) {
  Dataset dataset;
  dataset.kind = in.text();
  dataset.source = in.text();
  dataset.preprocessing = in.text();
  std::array<std::int64_t, 4> extents{};
  for (std::int64_t& extent : extents) extent = in.number<std::int64_t>();
  shape = Shape(std::span<const std::int64_t>(extents));
  PROTOLITH_CHECK(shape[0] <= std::numeric_limits<std::int32_t>::max() && shape[3] <= 4,
                  "images of shape {}", to_string(shape));
  const auto channels = static_cast<std::size_t>(shape[3]);
  for (std::vector<float>* values : {&dataset.scale, &dataset.shift}) {
    for (std::size_t c = 0; c < channels; ++c) values->push_back(in.number<float>());
  }
  for (std::vector<ImageClass>& split : dataset.splits) {
    const auto count = in.number<std::uint64_t>();
    for (std::uint64_t i = 0; i < count; ++i) split.push_back(read_class(in, shape));
  }
  return dataset;
}

Header read_header(std::span<const std::byte> file) {
  Header header;
  PROTOLITH_CHECK(file.size() >= sizeof(header), "it has {} bytes only", file.size());
  std::memcpy(&header, file.data(), sizeof(header));
  PROTOLITH_CHECK(header.magic == kMagic, "it is no cached data set");
  PROTOLITH_CHECK(header.version == kVersion && header.header_bytes == sizeof(header),
                  "it has format version {}, this program writes {}", header.version, kVersion);
  PROTOLITH_CHECK(header.header_hash == hash_of(header), "its header fails its checksum");
  PROTOLITH_CHECK(header.description_bytes <= file.size() - sizeof(header) &&
                      header.pixel_offset <= file.size() &&
                      header.pixel_offset >= sizeof(header) + header.description_bytes &&
                      header.pixel_bytes == file.size() - header.pixel_offset,
                  "it has {} bytes, its header says otherwise; it was cut short", file.size());
  return header;
}

CacheLookup map_cache(const std::filesystem::path& file, const CacheKey& key) {
  const auto mapped = std::make_shared<MappedFile>(file);
  const Header header = read_header(mapped->bytes());
  const auto description =
      mapped->bytes().subspan(sizeof(header), static_cast<std::size_t>(header.description_bytes));
  PROTOLITH_CHECK(hash_bytes(description.data(), description.size()) == header.description_hash,
                  "its description fails its checksum");
  Reader in(description);
  if (in.text() != key.identity || in.text() != key.state) {
    return {CacheLookup::State::stale, "it was made from other files", {}};
  }
  Shape shape;
  Dataset dataset = read_description(in, shape);
  PROTOLITH_CHECK(std::cmp_equal(shape.elements(), header.pixel_bytes),
                  "it holds {} bytes for images of shape {}", header.pixel_bytes, to_string(shape));
  // Nobody writes to a data set's images; a mapping would fault if somebody did.
  auto* pixels = const_cast<std::byte*>(mapped->bytes().data() + header.pixel_offset);
  dataset.images = Tensor(borrow_host(pixels, static_cast<std::size_t>(header.pixel_bytes), mapped),
                          shape, DType::u8);
  dataset.content_hash = header.pixel_hash;
  dataset.from_cache = true;
  return {CacheLookup::State::valid, "", std::move(dataset)};
}

std::filesystem::path path_from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr || value[0] == '\0') return {};
  return value;
}

void make_folder_of(const std::filesystem::path& file) {
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  PROTOLITH_CHECK(!error, "cannot make the folder {}: {}", file.parent_path().string(),
                  error.message());
}

/// Writes all of a cache file, and commits it.
void write(AtomicFile& out, const CacheKey& key, const Dataset& dataset) {
  std::string description = describe(key, dataset);
  Header header;
  header.description_bytes = description.size();
  header.description_hash = hash_bytes(description.data(), description.size());
  header.pixel_offset = (sizeof(header) + description.size() + kPage - 1) / kPage * kPage;
  header.pixel_bytes = dataset.images.bytes();
  header.pixel_hash = dataset.content_hash;
  header.header_hash = hash_of(header);
  description.resize(static_cast<std::size_t>(header.pixel_offset) - sizeof(header));  // padding
  out.write(std::as_bytes(std::span(&header, 1)));
  out.write(std::as_bytes(std::span(description.data(), description.size())));
  out.write({dataset.images.raw(), dataset.images.bytes()});
  out.commit();
}

void warn(const DatasetOptions& options, const std::string& message) {
  if (options.warn) options.warn(message);
}

void warn_uncached(const DatasetOptions& options, const Error& error) {
  warn(options, fmt::format("{}; the decoded images are not cached, so that every start decodes "
                            "them again (set PROTOLITH_CACHE to a folder that can be written)",
                            error.what()));
}

/// What is cached of these images, undamaged; nothing where there is no such thing.
std::optional<Dataset> intact_cache(const std::filesystem::path& file, const CacheKey& key,
                                    const DatasetOptions& options) {
  CacheLookup found = read_cache(file, key);
  if (found.dataset && !check_pixels(file)) {
    warn(options, fmt::format("{}: the cached pixels fail their checksum; they are decoded again",
                              file.string()));
    found.dataset.reset();
  }
  return std::move(found.dataset);
}

/// The cache file, open for writing, once no other process writes it; null where it cannot be
/// written.
std::unique_ptr<AtomicFile> start_cache(const std::filesystem::path& file,
                                        const DatasetOptions& options) {
  const auto on_busy = [&] {
    warn(options, fmt::format("another process is decoding the same images; waiting for it to "
                              "write {}",
                              file.string()));
  };
  try {
    make_folder_of(file);
    return std::make_unique<AtomicFile>(file, on_busy);
  } catch (const Error& error) {
    warn_uncached(options, error);
    return nullptr;
  }
}

}  // namespace

std::filesystem::path cache_folder(const DatasetOptions& options) {
  if (!options.cache_folder.empty()) return options.cache_folder;
  if (const auto folder = path_from_environment("PROTOLITH_CACHE"); !folder.empty()) {
    return folder;
  }
  const auto xdg = path_from_environment("XDG_CACHE_HOME");
  if (xdg.is_absolute()) return xdg / "protolith";  // the specification ignores relative ones
  const auto home = path_from_environment("HOME");
  return home.empty() ? home : home / ".cache" / "protolith";
}

std::filesystem::path cache_file(const std::filesystem::path& folder, const CacheKey& key) {
  return folder / fmt::format("{}-{:016x}.cache", key.identity.substr(0, key.identity.find('\n')),
                              hash_bytes(key.identity.data(), key.identity.size()));
}

CacheLookup read_cache(const std::filesystem::path& file, const CacheKey& key) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return {};
  try {
    return map_cache(file, key);
  } catch (const Error& damage) {
    return {CacheLookup::State::damaged, damage.what(), {}};
  }
}

void write_cache(const std::filesystem::path& file, const CacheKey& key, const Dataset& dataset) {
  make_folder_of(file);
  AtomicFile out(file);
  write(out, key, dataset);
}

bool check_pixels(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  const Header header = read_header(mapped.bytes());
  auto rest = mapped.bytes().subspan(static_cast<std::size_t>(header.pixel_offset));
  ByteHash hash;
  while (!rest.empty()) {
    const std::size_t block = std::min(rest.size(), kCheckBlock);
    hash.add(rest.first(block));
    mapped.release();
    rest = rest.subspan(block);
  }
  return hash.value() == header.pixel_hash;
}

Dataset open_cached(const CacheKey& key, const DatasetOptions& options,
                    const std::function<Dataset()>& build) {
  const std::filesystem::path folder = cache_folder(options);
  if (!options.use_cache || folder.empty()) return build();
  const std::filesystem::path file = cache_file(folder, key);
  if (auto cached = intact_cache(file, key, options)) return *std::move(cached);
  // Before anything is decoded: of programs that start at once, one decodes for all.
  const std::unique_ptr<AtomicFile> out = start_cache(file, options);
  if (out == nullptr) return build();
  if (auto cached = intact_cache(file, key, {})) return *std::move(cached);
  Dataset dataset = build();
  try {
    write(*out, key, dataset);
  } catch (const Error& error) {
    warn_uncached(options, error);
    return dataset;
  }
  // Unlike what was decoded, a mapping is memory that the system may take back when it runs short.
  if (CacheLookup written = read_cache(file, key); written.dataset) {
    dataset = *std::move(written.dataset);
    dataset.from_cache = false;
  }
  return dataset;
}

}  // namespace protolith
