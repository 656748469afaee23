#include "tools/kernel_shapes.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace protolith {
namespace {

/// As many elements as a buffer may have: 8 GiB of floats.
constexpr std::int64_t kMostElements = std::int64_t{1} << 31;

std::int64_t images_of(const Workload& workload) {
  const EpisodeShape& e = workload.training;
  return std::int64_t{e.way} * (e.shot + e.query);
}

std::int64_t features_of(const Workload& workload) {
  const BlockShape last = blocks_of(workload).back();
  const std::int64_t side = last.pool ? last.side / 2 : last.side;
  return side * side * last.filters;
}

/// A convolution block's sizes in its domain.
KernelSizes block_sizes(KernelDomain domain, std::int64_t images, const BlockShape& b) {
  switch (domain) {
    case KernelDomain::activations:
      return {images * b.side * b.side * b.filters};
    case KernelDomain::rows:
      return {images * b.side * b.side, b.filters};
    case KernelDomain::images:
      return {images, b.side, b.side, b.filters};
    default:
      return {images, b.side, b.side, b.channels, b.filters};
  }
}

std::vector<KernelSizes> of_blocks(KernelDomain domain, const Workload& workload) {
  std::vector<KernelSizes> shapes;
  const std::vector<BlockShape> blocks = blocks_of(workload);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const bool first = i == 0;
    if (domain == KernelDomain::first_block && !first) continue;
    if (domain == KernelDomain::block && first) continue;
    shapes.push_back(block_sizes(domain, images_of(workload), blocks[i]));
  }
  return shapes;
}

std::int64_t parameters_of(const Workload& workload) {
  std::int64_t count = 0;
  for (const BlockShape& b : blocks_of(workload)) count += b.filters * (9 * b.channels + 2);
  return count;
}

std::int64_t parse_size(std::string_view word, const std::string& text, const KernelAxis& axis) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  PROTOLITH_CHECK_USAGE(error == std::errc() && end == word.data() + word.size(),
                        "--shape {}: {} is '{}', must be a whole number up to {}", text, axis.name,
                        word, kMostElements);
  PROTOLITH_CHECK_USAGE(value >= axis.least, "--shape {}: {} is {}, must be {} or more", text,
                        axis.name, value, axis.least);
  PROTOLITH_CHECK_USAGE(value % axis.multiple == 0,
                        "--shape {}: {} is {}, must be a multiple of {}", text, axis.name, value,
                        axis.multiple);
  return value;
}

}  // namespace

std::vector<KernelSizes> model_shapes(KernelDomain domain, const Workload& workload) {
  const std::int64_t images = images_of(workload), features = features_of(workload);
  const EpisodeShape& e = workload.training;
  const std::int64_t queries = std::int64_t{e.way} * e.query;
  constexpr std::int64_t kBins = 60;  // of the histograms that train and grad-hist record
  switch (domain) {
    case KernelDomain::parameters:
      return {{parameters_of(workload)}};
    case KernelDomain::embeddings:
      return {{images * features}};
    case KernelDomain::queries:
      return {{queries}};
    case KernelDomain::batch:
      return {{images, workload.side, workload.side, workload.channels}};
    case KernelDomain::filters:
      return {{blocks_of(workload).back().filters, blocks_of(workload).back().channels}};
    case KernelDomain::table:
      return {{queries, features}};
    case KernelDomain::placed:
      return {{queries * features, images * features}};
    case KernelDomain::classes:
      return {{e.way, e.shot, features}};
    case KernelDomain::sides:
      return {{queries, e.way, features}};
    case KernelDomain::pairs:
      return {{queries, e.way}};
    case KernelDomain::histogram:
      return {{std::max(queries * e.way, kBins + 3), kBins}};  // a value for each count
    default:
      return of_blocks(domain, workload);
  }
}

KernelSizes parse_shape(const std::string& text, const KernelEntry& entry) {
  const auto axes = axes_of(entry.domain);
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('x', at), text.size());
    words.emplace_back(text.data() + at, end - at);
    at = end + 1;
  }
  PROTOLITH_CHECK_USAGE(
      words.size() == axes.size(), "--shape {}: {} takes {}, which is {} number{}, not {}", text,
      entry.name, syntax_of(entry.domain), axes.size(), axes.size() == 1 ? "" : "s", words.size());
  KernelSizes sizes;
  std::int64_t elements = 1;
  for (std::size_t i = 0; i < words.size(); ++i) {
    sizes.push_back(parse_size(words[i], text, axes[i]));
    PROTOLITH_CHECK_USAGE(sizes.back() <= kMostElements / elements,
                          "--shape {}: the product of the sizes must be {} or less", text,
                          kMostElements);
    elements *= sizes.back();
  }
  return sizes;
}

std::string to_string(const KernelSizes& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += fmt::format("{}{}", text.empty() ? "" : "x", size);
  return text;
}

std::string shape_help() {
  return "Shapes, as --shape takes them (`--list` says which kernel takes which):\n"
         "  COUNT                                     adam, elementwise, relu, scores\n"
         "  ROWSxCHANNELS                             batch_norm\n"
         "  IMAGESxHEIGHTxWIDTHxCHANNELS              batch_norm_relu_pool, max_pool, relu_pool,\n"
         "                                            episode_gather\n"
         "  IMAGESxHEIGHTxWIDTHxCHANNELSxFILTERS      first_block, patch_statistics,\n"
         "                                            small_input_filter_gradient,\n"
         "                                            winograd_forward, winograd_backward\n"
         "  FILTERSxCHANNELS                          winograd_filter\n"
         "  WAYxSHOTxFEATURES                         segment_mean\n"
         "  QUERIESxPROTOTYPESxFEATURES               squared_distance\n"
         "  QUERIESxPROTOTYPES                        lsed_softmax, squared_distance, elementwise\n"
         "  ROWSxFEATURES                             gather_rows, squared_distance\n"
         "  SOURCExTARGET                             rows (elements placed among others)\n"
         "  VALUESxBINS                               histogram\n";
}

}  // namespace protolith
