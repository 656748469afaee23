// Squared Euclidean distances between drawings in a model's embedding space:
//   distances MODEL.safetensors A.png B.png ...   (a 28x28 grey model, as models/pretrained has)
#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

#include "data/preparation.h"
#include "engine/backend.h"
#include "engine/safetensors.h"
#include "models/conv4.h"

namespace {

int run(int count, char** arguments) {
  using namespace protolith;
  if (count < 4) throw UsageError("usage: distances MODEL.safetensors A.png B.png ...");
  const auto backend = make_cpu_backend();
  Conv4 model(*backend, {.height = 28, .width = 28, .channels = 1, .last_pool = false});
  model.load_state(read_safetensors(arguments[1]).tensors);

  const std::vector<std::filesystem::path> files(arguments + 2, arguments + count);
  const PreparedFiles prepared = prepare_files({ImageKind::drawing, 28, 1}, files);
  for (const std::string& error : prepared.errors) {
    if (!error.empty()) throw Error(error);
  }
  const Tensor& pixels = prepared.dataset.images;
  const Tensor images = Tensor::host(pixels.shape());
  const float scale = prepared.dataset.scale[0], shift = prepared.dataset.shift[0];
  for (std::size_t i = 0; i < images.host_span<float>().size(); ++i) {
    images.host_span<float>()[i] = pixels.host_span<const std::uint8_t>()[i] * scale + shift;
  }

  const Tensor embeddings = model.embed(backend->to_device(images));
  const Tensor distances =
      backend->to_host(backend->squared_distances(embeddings, embeddings, DistanceMethod::direct));
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::printf("%s", files[i].c_str());
    for (std::size_t j = 0; j < files.size(); ++j) {
      std::printf("\t%.2f", distances.host_span<float>()[i * files.size() + j]);
    }
    std::printf("\n");
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "distances: %s\n", error.what());
    return 1;
  }
}
