// data/mini_imagenet_listing: the tables of miniImageNet, beside a folder of images.
#include <fstream>

#include "data/mini_imagenet_listing.h"
#include "tests/fuzz/fuzz.h"

using namespace protolith;

namespace {

/// images/a.jpg and so on, empty: a listing does not read them.
struct Images {
  fuzz::Folder folder;
  std::filesystem::path images = folder.path() / "images";
  fuzz::MemoryFile table;

  Images() {
    std::filesystem::create_directory(images);
    for (const char* name : {"a.jpg", "b.jpg", "c.png"}) std::ofstream(images / name) << "";
    folder.link("train.csv", table);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Images fixture;
  fixture.table.fill(fuzz::text_of(data, size));
  std::vector<Problem> problems;
  const MiniImagenetListing listing =
      list_mini_imagenet({{MiniImagenetPart::Kind::images_folder, fixture.images},
                          {MiniImagenetPart::Kind::table, fixture.folder.path() / "train.csv"}},
                         problems);
  for (const auto& [place, files] : listing.classes) fuzz::require(!files.empty());
  return 0;
}
