#include "tools/classifier.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/image_folder.h"
#include "models/classification.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

/// The rows of some files in host memory, as a tensor [rows, features] of the device.
Tensor rows_on_device(Backend& backend, const EmbeddedFiles& embedded,
                      const std::vector<std::size_t>& files) {
  std::vector<float> rows;
  for (const std::size_t file : files) {
    const auto row = embedded.row(file);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return backend.to_device(Tensor::of<float>(
      {rows.data(), rows.size()}, {static_cast<std::int64_t>(files.size()), embedded.features}));
}

/// The prototypes of the classes, whose files are the first of `embedded`.
Tensor class_prototypes(Backend& backend, const EmbeddedFiles& embedded, Classification& result) {
  std::vector<std::size_t> rows;
  std::vector<std::int64_t> shots;
  std::size_t file = 0;
  for (SupportClass& c : result.classes) {
    for (const fs::path& path : c.files) {
      if (embedded.good(file)) {
        rows.push_back(file);
        ++c.used;
      } else {
        result.skipped.push_back({path.string(), embedded.errors[file]});
      }
      ++file;
    }
    PROTOLITH_CHECK(c.used > 0, "class '{}' has no image that can be read: {}", c.label,
                    result.skipped.back().error);
    shots.push_back(c.used);
  }
  return prototypes(backend, rows_on_device(backend, embedded, rows), shots);
}

void decide(Classified& query, std::span<const float> distances, const Metric& metric) {
  query.distances.assign(distances.begin(), distances.end());
  for (const float d : distances) {
    PROTOLITH_CHECK(std::isfinite(d), "{}: a distance is {}; is the model damaged?", query.file, d);
  }
  query.probabilities = class_probabilities(distances, metric);
  std::vector<std::size_t> order(distances.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return distances[a] < distances[b]; });
  query.best = order[0];
  query.second = order[1];
}

}  // namespace

std::vector<SupportClass> list_support(const fs::path& support,
                                       const std::function<void(const std::string&)>& note) {
  ImageContents contents;
  const std::vector<FileClass> found = list_image_classes(support, contents);
  throw_problems("the support folder " + support.string(), contents.problems);
  for (const std::string& text : contents.notes) {
    if (note) note(text);
  }
  std::vector<SupportClass> classes;
  for (const FileClass& c : found) {
    SupportClass& added = classes.emplace_back(SupportClass{c.name, {}});
    for (const FileRef& file : c.files) added.files.emplace_back(file.path);
  }
  return classes;
}

Classification classify_files(Backend& backend, const Checkpoint& checkpoint,
                              const Preparation& preparation, std::vector<SupportClass> classes,
                              const std::vector<fs::path>& queries, bool quiet) {
  std::vector<fs::path> files;
  for (const SupportClass& c : classes) files.insert(files.end(), c.files.begin(), c.files.end());
  const std::size_t supports = files.size();
  files.insert(files.end(), queries.begin(), queries.end());
  const EmbeddedFiles embedded = embed_files(backend, *checkpoint.model, preparation, files, quiet);

  Classification result{std::move(classes), {}, {}};
  const Tensor means = class_prototypes(backend, embedded, result);
  std::vector<std::size_t> good;
  for (std::size_t i = supports; i < files.size(); ++i) {
    Classified& query = result.queries.emplace_back();
    query.file = files[i].string();
    query.error = embedded.errors[i];
    if (embedded.good(i)) good.push_back(i);
  }
  if (good.empty()) return result;
  const Tensor d = backend.to_host(backend.squared_distances(
      rows_on_device(backend, embedded, good), means, checkpoint.info.distance));
  const std::size_t way = result.classes.size();
  for (std::size_t i = 0; i < good.size(); ++i) {
    decide(result.queries[good[i] - supports], d.host_span<float>().subspan(i * way, way),
           checkpoint.info.metric);
  }
  backend.end_step();
  return result;
}

}  // namespace protolith
