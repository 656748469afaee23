#include "data/image_files.h"

#include <doctest/doctest.h>

#include "tests/data/fixtures.h"
#include "tests/engine/temporary_folder.h"

namespace protolith {
namespace {

using testing::contains;
using testing::slurp;
using testing::spill;
using testing::TemporaryFolder;

std::string even_png(bool white) {
  return testing::png(4, 4, [&](int, int) { return white; });
}

ImageContents decode(const std::vector<FileClass>& classes) {
  ImageContents contents;
  decode_classes(classes, 4, 1, "mend it", contents);
  return contents;
}

TEST_CASE("an image that an archive does not give is a problem, never a blank picture") {
  const TemporaryFolder folder;
  const auto archive = folder / "a.zip";
  testing::write_zip(archive, {{"a.png", even_png(true)}, {"b.png", even_png(true)}});
  ImageContents contents =
      decode({{"one", Split::train, {{archive, "a.png"}}},
              {"two", Split::train, {{archive, "a.png"}, {archive, "b.png"}}}});
  REQUIRE(contents.problems.size() == 1);
  CHECK(contains(contents.problems[0].what, "a.zip: a.png: not in the archive, or listed as two"));
  CHECK(contents.problems[0].remedy == "mend it");
  CHECK(contents.images[0] == 2);

  contents = decode({{"one", Split::train, {{archive, "a.png"}, {archive, "c.png"}}}});
  REQUIRE(contents.problems.size() == 1);
  CHECK(contains(contents.problems[0].what, "a.zip: c.png: not in the archive"));
}

TEST_CASE("of two members of one name the first is the image") {
  const TemporaryFolder folder;
  const auto archive = folder / "a.zip";
  testing::write_zip(archive, {{"a.png", even_png(true)}, {"b.png", even_png(false)}});
  std::string bytes = slurp(archive);
  for (std::size_t at = 0; (at = bytes.find("b.png", at)) != std::string::npos;) bytes[at] = 'a';
  spill(archive, bytes);
  const ImageContents contents = decode({{"one", Split::train, {{archive, "a.png"}}}});
  CHECK(contents.problems.empty());
  CHECK(contents.images[0] == 1);
  CHECK(contents.dataset.images.data<std::uint8_t>()[0] == 255);
}

}  // namespace
}  // namespace protolith
