#include "data/image_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <map>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "data/archive.h"
#include "data/image_codec.h"
#include "data/resample.h"
#include "engine/check.h"
#include "engine/file.h"

namespace protolith {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

/// A file to decode, and which image of the store it becomes.
struct Job {
  const FileRef* file;
  std::size_t image;
  std::size_t split;
};

/// Decodes files into a data set's images; what cannot be read is noted by job.
class Decoder {
 public:
  Decoder(const std::vector<Job>& jobs, Dataset& dataset)
      : jobs_(jobs), images_(dataset.images), good_(jobs.size()), errors_(jobs.size()) {}

  /// Files on disk are read by the thread that decodes them.
  void decode_files(const std::vector<std::size_t>& jobs) {
#pragma omp parallel for schedule(dynamic, 16)
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      decode(jobs[i], [&] { return read_file(jobs_[jobs[i]].file->path, kMaxImageBytes); });
    }
  }

  /// Members come one after another, are collected and decoded a batch at a time; each fills one
  /// image, and two of one name must not fill the same. Throws Error when the archive is damaged.
  void decode_archive(const std::filesystem::path& archive, const std::vector<std::size_t>& jobs) {
    std::unordered_map<std::string, std::size_t> job_of;
    for (const std::size_t job : jobs) job_of.emplace(jobs_[job].file->path, job);
    std::vector<std::pair<std::size_t, std::vector<std::byte>>> batch;
    std::size_t batch_bytes = 0;
    const auto flush = [&] {
#pragma omp parallel for schedule(dynamic, 16)
      for (std::size_t i = 0; i < batch.size(); ++i) {
        decode(batch[i].first, [&] { return std::move(batch[i].second); });
      }
      batch.clear();
      batch_bytes = 0;
    };
    read_archive(
        archive, kMaxImageBytes, [&](const std::string& path) { return job_of.contains(path); },
        [&](const std::string& path, std::vector<std::byte> bytes) {
          constexpr std::size_t kBatchBytes = std::size_t{1} << 24;
          batch_bytes += bytes.size();
          batch.emplace_back(job_of.extract(path).mapped(), std::move(bytes));
          if (batch_bytes >= kBatchBytes) flush();
        });
    flush();
    note_missed(jobs);
  }

  bool good(std::size_t job) const {
    return good_[job] != 0;
  }
  /// Why the file could not be read; empty when it was not come to, its archive being damaged.
  const std::string& error(std::size_t job) const {
    return errors_[job];
  }

 private:
  /// An image that nothing was written to must not pass for a picture.
  void note_missed(const std::vector<std::size_t>& jobs) {
    for (const std::size_t job : jobs) {
      if (good(job) || !error(job).empty()) continue;
      errors_[job] =
          fmt::format("{}: not in the archive, or listed as two images", jobs_[job].file->name());
    }
  }

  template <class Bytes>
  void decode(std::size_t index, Bytes bytes) {
    const Job& job = jobs_[index];
    const Shape& shape = images_.shape();
    try {
      const auto channels = static_cast<std::int32_t>(shape[3]);
      const std::size_t size = static_cast<std::size_t>(shape[1] * shape[2] * shape[3]);
      fit_square(decode_image(bytes(), channels, job.file->name()),
                 static_cast<std::int32_t>(shape[1]),
                 images_.data<std::uint8_t>() + job.image * size);
      good_[index] = 1;
    } catch (const std::exception& error) {  // must not leave a parallel region
      errors_[index] = error.what();
    }
  }

  const std::vector<Job>& jobs_;
  Tensor images_;
  std::vector<std::uint8_t> good_;
  std::vector<std::string> errors_;
};

/// The jobs of all classes; fills in the data set's splits.
std::vector<Job> lay_out(const std::vector<FileClass>& classes, Dataset& dataset) {
  std::vector<Job> jobs;
  for (const FileClass& c : classes) {
    const auto split = static_cast<std::size_t>(c.split);
    const std::size_t first = jobs.size();
    for (const FileRef& file : c.files) jobs.push_back({&file, jobs.size(), split});
    PROTOLITH_CHECK_USAGE(jobs.size() <= std::numeric_limits<std::int32_t>::max(),
                          "{} images are too many", jobs.size());
    dataset.splits[split].push_back(
        {c.name, static_cast<std::int32_t>(first), static_cast<std::int32_t>(c.files.size()), 0});
  }
  return jobs;
}

}  // namespace

std::string FileRef::name() const {
  return archive.empty() ? path : fmt::format("{}: {}", archive.string(), path);
}

std::string picture_preprocessing(std::int32_t side, std::int32_t channels) {
  return fmt::format("{}x{} {}, version 1", side, side, channels == 1 ? "grey" : "RGB");
}

void set_picture_normalisation(Dataset& dataset, std::int32_t channels) {
  constexpr std::array<float, 3> kMean = {0.485F, 0.456F, 0.406F};  // ImageNet's
  constexpr std::array<float, 3> kDeviation = {0.229F, 0.224F, 0.225F};
  if (channels == 1) {
    dataset.scale = {1.0F / 255.0F};
    dataset.shift = {0.0F};
    return;
  }
  for (std::size_t c = 0; c < kMean.size(); ++c) {
    dataset.scale.push_back(1.0F / (255.0F * kDeviation[c]));
    dataset.shift.push_back(-kMean[c] / kDeviation[c]);
  }
}

bool names_image(std::string_view file) {
  const std::string name = lower(file);
  return name.ends_with(".jpg") || name.ends_with(".jpeg") || name.ends_with(".png") ||
         name.ends_with(".bmp");
}

bool names_archive(std::string_view file) {
  const std::string name = lower(file);
  return name.ends_with(".zip") || name.ends_with(".tar") || name.ends_with(".tgz") ||
         name.find(".tar.") != std::string::npos;
}

std::vector<std::filesystem::path> visible_entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (!entry->path().filename().string().starts_with('.')) found.push_back(entry->path());
  }
  PROTOLITH_CHECK(!error, "cannot read the folder {}: {}", folder.string(), error.message());
  std::sort(found.begin(), found.end());
  return found;
}

void decode_classes(const std::vector<FileClass>& classes, std::int32_t side, std::int32_t channels,
                    const std::string& remedy, ImageContents& contents) {
  Dataset& dataset = contents.dataset;
  set_picture_normalisation(dataset, channels);
  const std::vector<Job> jobs = lay_out(classes, dataset);
  const auto count = static_cast<std::int64_t>(std::max<std::size_t>(jobs.size(), 1));
  dataset.images = Tensor::host({count, side, side, channels}, DType::u8);
  std::map<std::filesystem::path, std::vector<std::size_t>> by_archive;
  for (std::size_t i = 0; i < jobs.size(); ++i) by_archive[jobs[i].file->archive].push_back(i);
  Decoder decoder(jobs, dataset);
  for (const auto& [archive, part] : by_archive) {
    if (archive.empty()) {
      decoder.decode_files(part);
      continue;
    }
    try {
      decoder.decode_archive(archive, part);
    } catch (const Error& error) {
      contents.problems.push_back({error.what(), remedy});
    }
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (decoder.good(i)) {
      ++contents.images[jobs[i].split];
    } else if (!decoder.error(i).empty()) {
      contents.problems.push_back({decoder.error(i), remedy});
    }
  }
  dataset.content_hash = hash_bytes(dataset.images.raw(), dataset.images.bytes());
}

}  // namespace protolith
