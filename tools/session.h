// What train, eval and bench share: opening the device and the data set that options describe.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/image_set.h"
#include "engine/backend.h"
#include "tools/config.h"

namespace protolith {

/// The backend that config.device names; `auto` is CUDA where it works, else the CPU, and says why
/// on stderr unless `quiet`. Throws UsageError when settings do not fit the device, Error when it
/// cannot be had.
std::unique_ptr<Backend> open_backend(const Config& config, bool quiet = true);

/// How to open data sets; warnings go to stderr unless `quiet`.
DatasetOptions data_options(const FolderOptions& folder, bool quiet);
/// The data set that `spec` or config.data names.
Dataset open_data(const std::string& spec, bool quiet);
Dataset open_data(const Config& config, bool quiet);

/// `spec` with its folder as an absolute path, so that a run can be continued from anywhere.
std::string absolute_data(const std::string& spec);
std::string absolute_path(const std::string& path);
/// The same for every path to data that a configuration holds.
void make_data_absolute(Config& config);
/// Throws UsageError when `out`, a folder for runs, lies in a folder of images: its next reader
/// would take it for a class.
void check_outside_data(const Config& config, const std::filesystem::path& out);

/// The most memory that this process has held so far, in MB of 2^20 bytes.
double peak_memory_mb();

/// "protolith: warning: ..." on stderr.
void warn(const std::string& message);

}  // namespace protolith
