// Checks of where a command shall write, before it works.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace protolith {

/// Throws UsageError naming `option` when the folder of `file` is not there, when `file` is a
/// folder or a device, one of the `inputs` that the command reads, or a file that a training run
/// lives by.
void check_output(const std::string& option, const std::filesystem::path& file,
                  const std::vector<std::filesystem::path>& inputs = {});

/// Warns when `file` is not named as what it will hold: its name ends otherwise than in
/// `extension`.
void warn_of_extension(const std::string& option, const std::filesystem::path& file,
                       const std::string& extension);

}  // namespace protolith
