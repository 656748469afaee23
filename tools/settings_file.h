#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace protolith {

/// "lr: 0.001 before, 0.01 now; seed: ..." of two JSON objects, a key that one of them lacks as
/// "not given"; empty when they are equal.
std::string settings_difference(const nlohmann::json& before, const nlohmann::json& now);

/// Keeps in the file `path` the settings that a folder of results was begun with: writes
/// `settings`, a JSON object, where the file is missing, and makes its folder. Throws UsageError
/// with the difference when it holds others, or when the folder is a run's own, Error when it holds
/// no settings or cannot be written.
void keep_settings(const std::filesystem::path& path, const nlohmann::json& settings);

/// A whole JSON file. Throws Error naming it when it cannot be read or is no JSON object.
nlohmann::json read_json_file(const std::filesystem::path& path);

}  // namespace protolith
