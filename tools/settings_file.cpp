#include "tools/settings_file.h"

#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "engine/file.h"
#include "tools/json_text.h"
#include "tools/run_folder.h"

namespace protolith {
namespace {

constexpr std::uint64_t kMostBytes = 16 << 20;

std::string value_of(const nlohmann::json& settings, const std::string& key) {
  const auto found = settings.find(key);
  return found == settings.end() ? "not given" : found->dump();
}

}  // namespace

std::string settings_difference(const nlohmann::json& before, const nlohmann::json& now) {
  nlohmann::json keys = before;
  keys.update(now);
  std::string text;
  for (const auto& item : keys.items()) {
    const std::string was = value_of(before, item.key());
    const std::string is = value_of(now, item.key());
    if (was == is) continue;
    text += fmt::format("{}{}: {} before, {} now", text.empty() ? "" : "; ", item.key(), was, is);
  }
  return text;
}

void keep_settings(const std::filesystem::path& path, const nlohmann::json& settings) {
  const std::filesystem::path folder = path.parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  PROTOLITH_CHECK(!error, "{}: the folder cannot be made: {}; give another with --out",
                  folder.string(), error.message());
  if (!std::filesystem::exists(path)) {
    PROTOLITH_CHECK_USAGE(!RunFolder::holds_run(folder),
                          "{} holds a run of 'protolith train'; give another folder with --out",
                          folder.string());
    write_file_atomically(path, json_text(settings, 2));
    return;
  }
  const std::string difference = settings_difference(read_json_file(path), settings);
  PROTOLITH_CHECK_USAGE(difference.empty(),
                        "{} was begun with other settings ({}); go on with the same ones, or give "
                        "another folder with --out",
                        folder.string(), difference);
}

nlohmann::json read_json_file(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kMostBytes);
  const char* const text = reinterpret_cast<const char*>(bytes.data());
  nlohmann::json object = parse_json({text, bytes.size()});
  PROTOLITH_CHECK(object.is_object(), "{} holds no JSON object; remove it to have it made anew",
                  path.string());
  return object;
}

}  // namespace protolith
