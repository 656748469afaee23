#include "tools/output_file.h"

#include "engine/check.h"
#include "tools/run_folder.h"
#include "tools/session.h"

namespace protolith {

namespace fs = std::filesystem;

void check_output(const std::string& option, const fs::path& file,
                  const std::vector<fs::path>& inputs) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  std::error_code ignored;
  PROTOLITH_CHECK_USAGE(fs::is_directory(folder, ignored),
                        "{} {}: there is no folder {}; make it first", option, file.string(),
                        folder.string());
  PROTOLITH_CHECK_USAGE(!fs::is_directory(file, ignored), "{} {}: is a folder; give a file's name",
                        option, file.string());
  PROTOLITH_CHECK_USAGE(!fs::exists(file, ignored) || fs::is_regular_file(file, ignored),
                        "{} {}: is a device or a pipe; give a file's name", option, file.string());
  for (const fs::path& input : inputs) {
    PROTOLITH_CHECK_USAGE(!fs::equivalent(file, input, ignored),
                          "{} {}: would replace {}, which is read; give another name", option,
                          file.string(), input.string());
  }
  PROTOLITH_CHECK_USAGE(
      !RunFolder::holds_run(folder) || !RunFolder::has_file_named(file.filename()),
      "{} {}: is a file of the run in {}; give another name", option, file.string(),
      folder.string());
}

void warn_of_extension(const std::string& option, const fs::path& file,
                       const std::string& extension) {
  if (file.extension() == extension) return;
  warn(fmt::format("{} {}: readers may expect the name to end in {}", option, file.string(),
                   extension));
}

}  // namespace protolith
