#include "tools/embedded_files.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/image_files.h"
#include "tools/learner.h"
#include "tools/progress.h"
#include "tools/session.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

/// Appends the images of a folder to `files`, what is none to `skipped`.
void list_folder(const fs::path& folder, SubFolders sub_folders, std::vector<fs::path>& files,
                 std::vector<fs::path>& skipped) {
  for (const fs::path& entry : visible_entries(folder)) {
    if (is_folder(entry) && sub_folders == SubFolders::search) {
      list_folder(entry, SubFolders::skip, files, skipped);
    } else if (!is_folder(entry) && names_image(entry.filename().string())) {
      files.push_back(entry);
    } else {
      skipped.push_back(entry);
    }
  }
}

/// Appends one part of the files; an unreadable one is embedded as the blank image that it is.
void embed_part(Backend& backend, Conv4& model, const PreparedFiles& part, EmbeddedFiles& result) {
  std::vector<std::int32_t> all(part.errors.size());
  std::iota(all.begin(), all.end(), 0);
  const std::vector<std::int32_t> upright(all.size(), 0);
  const Tensor table = backend.to_host(
      embed_all(backend, model, make_resident(backend, part.dataset), all, upright));
  const auto embeddings = table.host_span<float>();
  result.values.insert(result.values.end(), embeddings.begin(), embeddings.end());
  result.errors.insert(result.errors.end(), part.errors.begin(), part.errors.end());
}

}  // namespace

std::vector<fs::path> list_images(const std::vector<std::string>& arguments, SubFolders sub_folders,
                                  const std::function<void(const std::string&)>& note) {
  std::vector<fs::path> files;
  std::vector<fs::path> skipped;
  for (const std::string& argument : arguments) {
    if (!is_folder(argument)) {
      files.emplace_back(argument);
      continue;
    }
    const std::size_t before = files.size();
    list_folder(argument, sub_folders, files, skipped);
    PROTOLITH_CHECK_USAGE(files.size() > before,
                          "the folder {} has no images; they are files named .png, .jpg, .jpeg or "
                          ".bmp{}; convert others to one of these",
                          argument,
                          sub_folders == SubFolders::search
                              ? ", in it or in its sub-folders"
                              : " in the folder itself, not in its sub-folders");
  }
  if (!skipped.empty() && note) {
    note(
        fmt::format("{} files or folders are no images (.png, .jpg, .jpeg, .bmp) and are skipped, "
                    "the first: {}",
                    skipped.size(), skipped.front().string()));
  }
  return files;
}

Preparation preparation_for(const CheckpointInfo& info, const std::string& model) {
  const Preparation preparation = preparation_of(info.preprocessing, info.encoder.height,
                                                 info.encoder.width, info.encoder.channels);
  if (!preparation.known) {
    warn(fmt::format(
        "{} does not say how its images were prepared{}; yours become {}, as those of "
        "folder:PATH do, which may not be what it knows",
        model,
        info.preprocessing.empty() ? ""
                                   : fmt::format(" in words known here ('{}')", info.preprocessing),
        describe(preparation)));
  }
  return preparation;
}

EmbeddedFiles embed_files(Backend& backend, Conv4& model, const Preparation& preparation,
                          std::span<const fs::path> files, bool quiet) {
  constexpr std::size_t kPart = 2048;
  EmbeddedFiles result;
  result.features = model.features();
  Progress progress(quiet);
  progress.start("embedding");
  for (std::size_t begin = 0; begin < files.size(); begin += kPart) {
    const auto part = files.subspan(begin, std::min(kPart, files.size() - begin));
    embed_part(backend, model, prepare_files(preparation, part), result);
    progress.update({.done = static_cast<std::int64_t>(begin + part.size()),
                     .total = static_cast<std::int64_t>(files.size()),
                     .unit = "images"});
  }
  progress.finish();
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto row = result.row(i);
    PROTOLITH_CHECK(std::all_of(row.begin(), row.end(), [](float x) { return std::isfinite(x); }),
                    "{}: its embedding is not finite; is the model damaged?", files[i].string());
  }
  return result;
}

}  // namespace protolith
