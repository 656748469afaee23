// Few-shot evaluation: with running statistics an image's embedding does not depend on its
// episode, so each image is embedded once and an episode is a gather and a distance matrix.
#include <algorithm>
#include <unordered_map>

#include "tools/learner.h"

namespace protolith {
namespace {

/// An image and its quarter turns as one number.
std::int64_t view_key(std::int32_t image, std::int32_t turns) {
  return std::int64_t{image} * 4 + turns;
}

/// The distinct (image, turns) pairs of some episodes, numbered in order of appearance.
class Views {
 public:
  void add(const Episode& episode) {
    for (std::size_t i = 0; i < episode.images.size(); ++i) {
      const auto next = static_cast<std::int32_t>(images_.size());
      if (rows_.emplace(view_key(episode.images[i], episode.turns[i]), next).second) {
        images_.push_back(episode.images[i]);
        turns_.push_back(episode.turns[i]);
      }
    }
  }
  std::vector<std::int32_t> rows_of(const Episode& episode) const {
    std::vector<std::int32_t> rows(episode.images.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i] = rows_.at(view_key(episode.images[i], episode.turns[i]));
    }
    return rows;
  }
  const std::vector<std::int32_t>& images() const noexcept { return images_; }
  const std::vector<std::int32_t>& turns() const noexcept { return turns_; }

 private:
  std::unordered_map<std::int64_t, std::int32_t> rows_;
  std::vector<std::int32_t> images_, turns_;
};

/// Images embedded at once: on the CPU as many as caches hold the activations of, elsewhere as many
/// as make launches cheap; fewer of images so large that evaluating would take more memory than
/// training.
std::size_t batch_size(const Backend& backend, const Conv4Options& model) {
  const std::int64_t most = backend.device().type == DeviceType::cpu ? 64 : 256;
  constexpr std::int64_t kUsualPixels = 84 * 84;
  return static_cast<std::size_t>(
      std::clamp<std::int64_t>(most * kUsualPixels / (model.height * model.width), 1, most));
}

void score(Backend& backend, const Tensor& embeddings, const Episode& episode,
           const EpisodeSampler& sampler, const EvaluationOptions& options, EpisodeScores& scores) {
  const ops::LeakySoftmaxLoss result =
      prototypical_loss(backend, Variable(embeddings), upload(backend, episode.labels),
                        layout_of(sampler.shape()), options.metric, options.distance);
  scores.loss.push_back(backend.read_scalar(result.loss.value()));
  scores.accuracy.push_back(backend.read_scalar(backend.mean(result.hit)));
}

EpisodeScores evaluate_with_episode_statistics(Backend& backend, Conv4& model,
                                               const ResidentImages& images,
                                               const EpisodeSampler& sampler, std::uint64_t first,
                                               std::int64_t count,
                                               const EvaluationOptions& options) {
  EpisodeScores scores;
  for (std::int64_t i = 0; i < count; ++i) {
    const Episode episode = sampler.sample(first + static_cast<std::uint64_t>(i));
    score(backend,
          model.embed_with_batch_statistics(gather(backend, images, episode.images, episode.turns)),
          episode, sampler, options, scores);
    backend.end_step();
    if (options.progress && !options.progress(i + 1, count)) break;
  }
  return scores;
}

}  // namespace

Tensor embed_all(Backend& backend, Conv4& model, const ResidentImages& images,
                 std::span<const std::int32_t> indices, std::span<const std::int32_t> turns,
                 const std::function<bool(std::int64_t done)>& progress) {
  const std::size_t size = batch_size(backend, model.options());
  backend.end_step();
  Tensor table = backend.persistent({static_cast<std::int64_t>(indices.size()), model.features()});
  for (std::size_t begin = 0; begin < indices.size(); begin += size) {
    const std::size_t count = std::min(size, indices.size() - begin);
    const auto batch = [&](std::span<const std::int32_t> all) {
      const auto part = all.subspan(begin, count);
      std::vector<std::int32_t> filled(part.begin(), part.end());
      filled.resize(size, filled.back());
      return filled;
    };
    const Tensor embedded = model.embed(gather(backend, images, batch(indices), batch(turns)));
    const auto first = static_cast<std::int64_t>(begin);
    const auto end = static_cast<std::int64_t>(begin + count);
    backend.copy(embedded.rows(0, end - first), table.rows(first, end));
    backend.end_step();
    if (progress && !progress(end)) return {};
  }
  return table;
}

EvaluationOptions evaluation_options(const Config& config) {
  return {.metric = config.metric,
          .distance = config.distance,
          .episode_statistics = config.bn_eval == "episode",
          .progress = {}};
}

EpisodeScores evaluate(Backend& backend, Conv4& model, const ResidentImages& images,
                       const EpisodeSampler& sampler, std::uint64_t first, std::int64_t count,
                       const EvaluationOptions& options) {
  backend.end_step();
  if (options.episode_statistics) {
    return evaluate_with_episode_statistics(backend, model, images, sampler, first, count, options);
  }
  // Episodes are drawn twice, first for what they show: cheaper than keeping them.
  Views views;
  const auto episode = [&](std::int64_t i) {
    return sampler.sample(first + static_cast<std::uint64_t>(i));
  };
  for (std::int64_t i = 0; i < count; ++i) views.add(episode(i));
  const auto images_to_embed = static_cast<std::int64_t>(views.images().size());
  const std::int64_t all = images_to_embed + count;
  EpisodeScores scores;
  const Tensor table = embed_all(
      backend, model, images, views.images(), views.turns(),
      [&](std::int64_t done) { return !options.progress || options.progress(done, all); });
  if (!table.defined()) return scores;
  for (std::int64_t i = 0; i < count; ++i) {
    const Episode scored = episode(i);
    const Tensor rows = upload(backend, views.rows_of(scored));
    score(backend, backend.gather_rows(table, rows), scored, sampler, options, scores);
    backend.end_step();
    if (options.progress && !options.progress(images_to_embed + i + 1, all)) break;
  }
  return scores;
}

}  // namespace protolith
