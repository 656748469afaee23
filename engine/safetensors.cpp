#include "engine/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/file.h"

namespace protolith {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

using Json = nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own bound
constexpr std::string_view kMetadata = "__metadata__";

/// A string of the file, safe to print: quoted, escaped, cut.
std::string printable(std::string_view text) {
  constexpr std::size_t kShown = 100;
  std::string shown =
      Json(text.substr(0, kShown)).dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() > kShown ? shown + "..." : shown;
}

std::string_view format_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::i32:
      return "I32";
    case DType::i64:
      return "I64";
    case DType::u8:
      return "U8";
  }
  throw Error("unknown element type");
}

std::optional<DType> dtype_named(std::string_view name) {
  for (const DType dtype : {DType::f32, DType::i32, DType::i64, DType::u8}) {
    if (format_name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

/// What the header says of one tensor; offsets are relative to the data.
struct Entry {
  std::optional<DType> dtype;
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;

  std::uint64_t begin() const { return (*offsets)[0]; }
  std::uint64_t end() const { return (*offsets)[1]; }
};

struct Header {
  std::map<std::string, Entry> entries;
  std::map<std::string, std::string> metadata;
};

/// Takes the header's JSON as it is parsed, and nothing but the structure that the format allows,
/// so that neither depth nor duplicates nor long lists get anywhere.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const std::filesystem::path& path) : path_(path) {}
  Header take() { return std::move(header_); }

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a truth value"); }
  bool number_integer(std::int64_t value) override {
    return refuse(fmt::format("the number {}", value));
  }
  bool number_float(double, const std::string& text) override {
    return refuse("the number " + printable(text));
  }
  bool binary(Json::binary_t&) override { return refuse("binary data"); }

  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::shape) return add_extent(value);
    if (place_ != Place::offsets) return refuse(fmt::format("the number {}", value));
    entry_->offsets->push_back(value);
    return entry_->offsets->size() <= 2 || refuse("a third offset");
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      header_.metadata[field_] = value;
      return true;
    }
    if (place_ != Place::tensor || field_ != "dtype") return refuse("the text " + printable(value));
    entry_->dtype = dtype_named(value);
    check(entry_->dtype.has_value(),
          fmt::format("has element type {}; convert it to F32, I32, I64 or U8", printable(value)));
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::root;
    } else if (place_ == Place::root) {
      place_ = name_ == kMetadata ? Place::metadata : Place::tensor;
      entry_ = place_ == Place::tensor ? &header_.entries[name_] : nullptr;
    } else {
      return refuse("an object");
    }
    return true;
  }

  bool key(std::string& value) override {
    if (place_ == Place::root) return start_entry(value);
    field_ = value;
    if (place_ == Place::metadata) {
      check(!header_.metadata.contains(value),
            fmt::format("has the key {} twice; write the file again", printable(value)));
      return true;
    }
    const bool known = value == "dtype" || value == "shape" || value == "data_offsets";
    check(known,
          fmt::format("has the unknown field {}; is this a newer format?", printable(value)));
    const bool twice = (value == "dtype" && entry_->dtype) || (value == "shape" && entry_->shape) ||
                       (value == "data_offsets" && entry_->offsets);
    check(!twice, fmt::format("has the field {} twice; write the file again", value));
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor) {
      check(entry_->dtype && entry_->shape && entry_->offsets,
            "lacks one of dtype, shape and data_offsets; write the file again");
    }
    place_ = place_ == Place::root ? Place::outside : Place::root;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::tensor || field_ == "dtype") return refuse("a list");
    if (field_ == "shape") {
      place_ = Place::shape;
      entry_->shape.emplace();
    } else {
      place_ = Place::offsets;
      entry_->offsets.emplace();
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::offsets && entry_->offsets->size() != 2) return refuse("a lone offset");
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const Json::exception& error) override {
    throw Error(
        fmt::format("{} is no safetensors file: its header is not JSON at byte {} ({}); get a "
                    "fresh copy",
                    path_.string(), position + kLengthBytes, printable(error.what())));
  }

 private:
  enum class Place : std::uint8_t { outside, root, metadata, tensor, shape, offsets };

  /// Throws Error about the current entry unless `condition` holds.
  void check(bool condition, const std::string& problem) const {
    PROTOLITH_CHECK(condition, "{}: {} {}", path_.string(), subject(), problem);
  }

  std::string subject() const {
    if (place_ == Place::outside || name_.empty()) return "the header";
    return name_ == kMetadata ? "the metadata" : "tensor " + printable(name_);
  }

  bool refuse(const std::string& value) const {
    check(false, fmt::format("has {} where the format allows none; write the file again", value));
    return false;
  }

  bool start_entry(const std::string& name) {
    const bool twice =
        name == kMetadata ? has_metadata_ : header_.entries.find(name) != header_.entries.end();
    name_ = name;
    has_metadata_ = has_metadata_ || name == kMetadata;
    check(!name.empty() && name.find('\0') == std::string::npos,
          "has a name that is empty or holds a zero byte; rename it");
    check(!twice, "is there twice; write the file again");
    return true;
  }

  bool add_extent(std::uint64_t value) {
    check(value > 0, "has a zero extent, no elements; leave it out");
    check(value <= std::uint64_t{1} << 62, fmt::format("has an impossible extent {}", value));
    check(entry_->shape->size() < static_cast<std::size_t>(Shape::kMaxRank),
          fmt::format("has more than {} extents; reshape it", Shape::kMaxRank));
    entry_->shape->push_back(static_cast<std::int64_t>(value));
    return true;
  }

  const std::filesystem::path& path_;
  Header header_;
  Place place_ = Place::outside;
  bool has_metadata_ = false;
  std::string name_;   // the current key of the root
  std::string field_;  // the current key below it
  Entry* entry_ = nullptr;
};

/// Bytes from the start of the file to the data.
std::uint64_t read_data_start(const InputFile& file, std::uint64_t limit) {
  const std::string path = file.path().string();
  PROTOLITH_CHECK(file.size() <= limit,
                  "{} has {} bytes, more than the {} allowed; is it the file that was meant?", path,
                  file.size(), limit);
  PROTOLITH_CHECK(file.size() >= kLengthBytes,
                  "{} is no safetensors file: it has {} bytes; get a fresh copy", path,
                  file.size());
  std::uint64_t length = 0;
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  PROTOLITH_CHECK(length <= file.size() - kLengthBytes,
                  "{} is no safetensors file or was cut: its header claims {} bytes, {} are there; "
                  "get a fresh copy",
                  path, length, file.size() - kLengthBytes);
  PROTOLITH_CHECK(length <= kMaxHeaderBytes,
                  "{}: the header claims {} bytes, the format allows {}; get a fresh copy", path,
                  length, kMaxHeaderBytes);
  return kLengthBytes + length;
}

Header read_header(const InputFile& file, std::uint64_t data_start) {
  std::string text(data_start - kLengthBytes, '\0');
  file.read(kLengthBytes, std::as_writable_bytes(std::span(text)));
  // The parser would take a zero byte for the end, and skip a byte order mark.
  PROTOLITH_CHECK(text.starts_with('{') && text.find('\0') == std::string::npos,
                  "{} is no safetensors file: its header is not JSON; get a fresh copy",
                  file.path().string());
  HeaderReader reader(file.path());
  Json::sax_parse(text, &reader);
  return reader.take();
}

/// Checks that shape, type and offsets of one tensor agree and lie within the data.
void check_extent(const std::string& path, const std::string& name, const Entry& entry,
                  std::uint64_t data_bytes) {
  PROTOLITH_CHECK(entry.begin() <= entry.end() && entry.end() <= data_bytes,
                  "{}: tensor {} is at [{}, {}) of {} bytes of data; the file was cut or damaged, "
                  "get a fresh copy",
                  path, printable(name), entry.begin(), entry.end(), data_bytes);
  std::uint64_t wanted = size_of(*entry.dtype);
  bool fits = true;
  for (const std::int64_t extent : *entry.shape) {
    fits = fits && wanted <= data_bytes / static_cast<std::uint64_t>(extent);
    if (fits) wanted *= static_cast<std::uint64_t>(extent);
  }
  PROTOLITH_CHECK(fits && wanted == entry.end() - entry.begin(),
                  "{}: tensor {} of type {} and shape [{}] does not take the {} bytes of its "
                  "offsets; get a fresh copy",
                  path, printable(name), format_name(*entry.dtype), fmt::join(*entry.shape, ", "),
                  entry.end() - entry.begin());
}

/// Checks that the tensors cover the data exactly once.
void check_layout(const std::string& path, const Header& header, std::uint64_t data_bytes) {
  std::vector<std::pair<const std::string*, const Entry*>> order;
  for (const auto& [name, entry] : header.entries) {
    check_extent(path, name, entry, data_bytes);
    order.emplace_back(&name, &entry);
  }
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.second->begin() < b.second->begin(); });
  std::uint64_t covered = 0;
  for (const auto& [name, entry] : order) {
    PROTOLITH_CHECK(entry->begin() >= covered,
                    "{}: tensor {} at byte {} overlaps another one; get a fresh copy", path,
                    printable(*name), entry->begin());
    PROTOLITH_CHECK(entry->begin() == covered,
                    "{}: {} unused bytes before tensor {}; get a fresh copy", path,
                    entry->begin() - covered, printable(*name));
    covered = entry->end();
  }
  PROTOLITH_CHECK(covered == data_bytes, "{}: {} unused bytes at the end; get a fresh copy", path,
                  data_bytes - covered);
}

using NamedTensor = std::pair<const std::string, Tensor>;

/// The tensors in the order of their data.
std::vector<const NamedTensor*> data_order(const SafeTensors& contents) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& item : contents.tensors) order.push_back(&item);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.dtype()) > size_of(b->second.dtype());
  });
  return order;
}

std::string make_header(const std::string& path, const SafeTensors& contents,
                        const std::vector<const NamedTensor*>& order) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!contents.metadata.empty()) header[std::string(kMetadata)] = contents.metadata;
  std::uint64_t offset = 0;
  for (const NamedTensor* item : order) {
    const auto& [name, tensor] = *item;
    PROTOLITH_CHECK(!name.empty() && name != kMetadata && name.find('\0') == std::string::npos,
                    "{}: a tensor cannot be named {}", path, printable(name));
    PROTOLITH_CHECK(tensor.defined() && tensor.device().type == DeviceType::cpu,
                    "{}: tensor {} has no values on the host; copy it there first", path,
                    printable(name));
    const std::uint64_t end = offset + tensor.bytes();
    header[name] = {{"dtype", format_name(tensor.dtype())},
                    {"shape", tensor.shape().extents()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::type_error& error) {
    throw Error(fmt::format("{}: a tensor's name or the metadata is not UTF-8 ({}); rename it",
                            path, error.what()));
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  PROTOLITH_CHECK(text.size() <= kMaxHeaderBytes,
                  "{}: the header takes {} bytes, the format allows {}; use fewer or shorter names",
                  path, text.size(), kMaxHeaderBytes);
  return text;
}

}  // namespace

SafeTensors read_safetensors(const std::filesystem::path& path, std::uint64_t limit) {
  const InputFile file(path);
  const std::uint64_t data_start = read_data_start(file, limit);
  Header header = read_header(file, data_start);
  check_layout(path.string(), header, file.size() - data_start);
  SafeTensors contents{{}, std::move(header.metadata)};
  for (const auto& [name, entry] : header.entries) {
    const Tensor tensor = Tensor::host(Shape(std::span(*entry.shape)), *entry.dtype);
    file.read(data_start + entry.begin(), {tensor.raw(), tensor.bytes()});
    contents.tensors.emplace(name, tensor);
  }
  return contents;
}

void write_safetensors(const std::filesystem::path& path, const SafeTensors& contents) {
  const std::vector<const NamedTensor*> order = data_order(contents);
  const std::string header = make_header(path.string(), contents, order);
  const std::uint64_t length = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(std::as_bytes(std::span(header)));
  for (const NamedTensor* item : order) file.write({item->second.raw(), item->second.bytes()});
  file.commit();
}

}  // namespace protolith
