// classify and embed as a user runs them.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "data/image_files.h"
#include "data/synthetic.h"
#include "tests/data/fixtures.h"
#include "tests/tools/glyphs.h"
#include "tests/tools/program_json.h"
#include "tools/checkpoint.h"
#include "tools/learner.h"
#include "tools/session.h"

namespace protolith::testing {
namespace {

namespace fs = std::filesystem;

const std::string kPretrained =
    "'" PROTOLITH_GOLDENS "/../../models/pretrained/omniglot-20w1s-lsed.safetensors'";

/// A drawing of a test glyph as a BMP: dark on light, every pixel `zoom` wide and high.
std::string glyph_file(std::size_t glyph, std::int32_t drawing, int zoom, int ink = 40,
                       int paper = 200) {
  const ImageClass& c = glyphs().splits[2][glyph];
  const std::uint8_t* pixels =
      glyphs().images.data<std::uint8_t>() + std::ptrdiff_t{c.first + drawing} * 28 * 28;
  std::string rgb;
  for (int y = 0; y < 28 * zoom; ++y) {
    for (int x = 0; x < 28 * zoom; ++x) {
      const int value = paper + (ink - paper) * pixels[y / zoom * 28 + x / zoom] / 255;
      rgb += std::string(3, static_cast<char>(value));
    }
  }
  return bmp_file(28 * zoom, 28 * zoom, rgb);
}

constexpr std::size_t kLabels = 4;
const std::array<std::string, kLabels> kLabel = {"ash", "birch, white", "elm", "oak"};

/// support/LABEL/N.bmp, of which every class has `shots`, and query/N-LABEL.bmp.
Files four_classes(int shots, int zoom) {
  Files files;
  for (std::size_t c = 0; c < kLabels; ++c) {
    for (int i = 0; i < shots; ++i) {
      files["support/" + kLabel[c] + "/" + std::to_string(i) + ".bmp"] = glyph_file(c, i, zoom);
    }
    for (int i = 0; i < 3; ++i) {
      files["query/" + std::to_string(i) + "-" + kLabel[c] + ".bmp"] = glyph_file(c, 10 + i, zoom);
    }
  }
  return files;
}

/// An untrained model of glyphs: its answers are poor and its arithmetic is right. The last scale
/// makes its distances some units large, where the metrics differ.
void save_untrained(const fs::path& file, const std::string& metric, DistanceMethod distance,
                    const std::string& preprocessing = kSyntheticPreprocessing,
                    std::int64_t side = 28, std::int64_t channels = 1, bool last_pool = true) {
  const auto backend = open_backend({});
  const Conv4Options options{
      .height = side, .width = side, .channels = channels, .filters = 16, .last_pool = last_pool};
  Conv4 model(*backend, options);
  model.initialize(3, BatchNormInit::ones);
  std::map<std::string, Tensor> state = model.state();
  for (float& gamma : state.at("encoder.3.1.weight").host_span<float>()) gamma = 40;
  model.load_state(state);
  save_model(file, model, {options, Metric::parse(metric), distance, preprocessing});
}

ProgramResult classify(const std::string& arguments, const fs::path& folder) {
  return run_program("classify --threads 1 --device cpu " + arguments, folder);
}

struct Npy {
  std::size_t rows = 0, columns = 0;
  std::vector<float> values;
};

Npy read_npy(const fs::path& file) {
  const std::string bytes = slurp(file);
  const std::size_t data =
      10 + static_cast<unsigned char>(bytes[8]) + 256U * static_cast<unsigned char>(bytes[9]);
  const std::string header = bytes.substr(10, data - 10);
  REQUIRE(contains(header, "'<f4'"));
  Npy npy;
  REQUIRE(std::sscanf(header.c_str() + header.find("'shape': (") + 10, "%zu, %zu", &npy.rows,
                      &npy.columns) == 2);
  npy.values.resize((bytes.size() - data) / 4);
  REQUIRE(npy.values.size() == npy.rows * npy.columns);
  std::memcpy(npy.values.data(), bytes.data() + data, bytes.size() - data);
  return npy;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.push_back(line);
  return result;
}

/// Squared distances of a query to the class means, in double precision, from embeddings.
std::vector<double> distances_of(const Npy& npy, const std::vector<std::string>& names,
                                 const std::string& query) {
  const auto row = [&](std::size_t i, std::size_t k) {
    return static_cast<double>(npy.values[i * npy.columns + k]);
  };
  std::size_t q = 0;
  while (names.at(q) != query) ++q;
  std::vector<double> result;
  for (const std::string& label : kLabel) {
    double d = 0;
    for (std::size_t k = 0; k < npy.columns; ++k) {
      double sum = 0;
      int count = 0;
      for (std::size_t i = 0; i < npy.rows; ++i) {
        if (!names[i].starts_with("support/" + label + "/")) continue;
        sum += row(i, k);
        ++count;
      }
      d += std::pow(row(q, k) - sum / count, 2);
    }
    result.push_back(d);
  }
  return result;
}

}  // namespace

TEST_CASE("the pretrained model names glyphs it has never seen") {
  for (const int zoom : {1, 9}) {
    CAPTURE(zoom);
    const TemporaryFolder folder;
    write_folder(folder.path(), four_classes(5, zoom));
    const nlohmann::json result = json_of(classify(
        "--model " + kPretrained + " --support support --query query --json", folder.path()));
    CHECK(result["metric"] == "lsed:0:0.01");
    CHECK(contains(result["images"], "Omniglot"));
    CHECK(result["support"]["birch, white"] == 5);
    REQUIRE(result["results"].size() == 12);
    for (std::size_t i = 0; i < 12; ++i) {
      const nlohmann::json& query = result["results"][i];
      const std::string& label = kLabel[i % 4];  // in the order of the names
      CHECK(query["file"] == "query/" + std::to_string(i / 4) + "-" + label + ".bmp");
      CHECK(query["label"] == label);
      CHECK(query["probability"].get<double>() > 0.5);
      CHECK(query["probabilities"][label] == query["probability"]);
      CHECK(query["distances"][label] == query["distance"]);
      CHECK(query["runner_up"]["label"] != label);
      CHECK(query["runner_up"]["distance"].get<double>() > query["distance"].get<double>());
    }
  }
}

TEST_CASE("probabilities are those of the embeddings that embed writes") {
  const TemporaryFolder folder;
  Files files = four_classes(3, 1);
  files.erase("support/elm/1.bmp");  // classes of unequal size
  files.erase("support/oak/0.bmp");
  files.erase("support/oak/2.bmp");
  write_folder(folder.path(), files);
  for (const char* text : {"sed", "lsed:1:0.1", "temperature:3"}) {
    CAPTURE(text);
    const Metric metric = Metric::parse(text);
    save_untrained(folder / "m.safetensors", text,
                   metric.kind == MetricKind::sed ? DistanceMethod::direct : DistanceMethod::gemm);
    const nlohmann::json result = json_of(
        classify("--model m.safetensors --support support --query query --json", folder.path()));
    CHECK(result["support"] ==
          nlohmann::json{{"ash", 3}, {"birch, white", 3}, {"elm", 2}, {"oak", 1}});
    const nlohmann::json embedded = json_of(
        run_program("embed --threads 1 --device cpu --model m.safetensors --support support "
                    "--query query --out all.npy --json",
                    folder.path()));
    CHECK(embedded["images"] == 9 + 12);
    CHECK(embedded["features"] == 16);
    CHECK(embedded["names"] == "all.txt");
    const Npy npy = read_npy(folder / "all.npy");
    const std::vector<std::string> names = lines(slurp(folder / "all.txt"));
    REQUIRE(npy.rows == names.size());
    REQUIRE(embedded["results"].size() == names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      CHECK(embedded["results"][i] == nlohmann::json{{"file", names[i]}, {"row", i}});
    }
    for (const nlohmann::json& query : result["results"]) {
      const std::vector<double> d = distances_of(npy, names, query["file"]);
      std::vector<double> p;
      double sum = 0, given = 0;
      for (const double x : d) {
        p.push_back(std::exp(-leaky_distance(x, metric.leaky())));
        sum += p.back();
      }
      std::size_t best = 0;
      for (std::size_t c = 0; c < kLabels; ++c) {
        CHECK(query["distances"][kLabel[c]].get<double>() ==
              doctest::Approx(d[c]).epsilon(1e-3).scale(0));
        const double probability = query["probabilities"][kLabel[c]];
        CHECK(probability == doctest::Approx(p[c] / sum).epsilon(1e-3).scale(0));
        given += probability;
        if (d[c] < d[best]) best = c;
      }
      CHECK(given == doctest::Approx(1).epsilon(1e-12));
      CHECK(query["label"] == kLabel[best]);
    }
  }
}

TEST_CASE("embeddings are those of the data set's images, row by row, channels first") {
  const TemporaryFolder folder;
  // Without the last pool there are 3x3 pixels a channel.
  save_untrained(folder / "m.safetensors", "sed", DistanceMethod::gemm, kSyntheticPreprocessing, 28,
                 1, false);
  Files files;
  std::vector<std::int32_t> indices;
  for (std::size_t g = 0; g < 3; ++g) {
    for (std::int32_t i = 0; i < 2; ++i) {
      files["g/" + std::to_string(g) + "/" + std::to_string(i) + ".bmp"] =
          glyph_file(g, i, 1, 255, 0);
      indices.push_back(glyphs().splits[2][g].first + i);
    }
  }
  write_folder(folder.path(), files);
  const ProgramResult result = run_program(
      "embed --model m.safetensors --images g --out e.npy --quiet --device cpu", folder.path());
  REQUIRE(result.code == 0);
  CHECK(result.errors.empty());
  CHECK(contains(result.output, "e.npy: 6 images of 144 features; their files: e.txt"));
  const Npy npy = read_npy(folder / "e.npy");
  const auto backend = open_backend({});
  const Checkpoint checkpoint = load_model(*backend, folder / "m.safetensors");
  const std::vector<std::int32_t> upright(indices.size(), 0);
  const Tensor expected =
      embed_all(*backend, *checkpoint.model, make_resident(*backend, glyphs()), indices, upright);
  REQUIRE(npy.rows == 6);
  // Where no pixel of a drawing has all the ink there is, a file's contrast is stretched a little.
  for (std::size_t i = 0; i < npy.values.size(); ++i) {
    const std::size_t row = i / 144, channel = i % 144 / 9, pixel = i % 9;
    const float want = expected.host_span<float>()[row * 144 + pixel * 16 + channel];
    CHECK(npy.values[i] == doctest::Approx(want).epsilon(0.05));
  }
}

TEST_CASE("a run folder, tables and CSV") {
  const TemporaryFolder folder;
  write_folder(folder.path(), four_classes(2, 1));
  REQUIRE(run_program("train --preset demo --train-way 5 --train-query 2 --val-way 5 --val-query 2 "
                      "--val-episodes 2 --epoch-episodes 2 --episodes 2 --threads 1 --out run",
                      folder.path())
              .code == 0);
  const std::string arguments = "--model run --support support --query query/0-ash.bmp query";
  const nlohmann::json result = json_of(classify(arguments + " --json", folder.path()));
  REQUIRE(result["results"].size() == 13);
  CHECK(result["results"][0] == result["results"][1]);
  CHECK(contains(result["images"], "synthetic"));

  const ProgramResult table = classify(arguments, folder.path());
  CHECK(table.code == 0);
  CHECK(table.errors.empty());
  const ProgramResult written = classify(arguments + " --out table.txt", folder.path());
  CHECK(written.code == 0);
  CHECK(written.output.empty());
  CHECK(slurp(folder / "table.txt") == table.output);
  CHECK(classify(arguments + " --out run/best.safetensors", folder.path()).code == 2);
  const std::vector<std::string> rows = lines(table.output);
  REQUIRE(rows.size() == 14);
  CHECK(rows[0].starts_with("image  "));
  const std::size_t column = rows[0].find("label");
  for (std::size_t i = 1; i < rows.size(); ++i) {
    CHECK(rows[i].size() == rows[0].size());
    CHECK(rows[i].ends_with(" %"));
    const std::string label = result["results"][i - 1]["label"];
    CHECK(rows[i].substr(column, label.size()) == label);
    CHECK(rows[i][column - 1] == ' ');
  }

  const ProgramResult csv = classify(arguments + " --csv", folder.path());
  CHECK(csv.code == 0);
  const std::vector<std::string> records = lines(csv.output);
  REQUIRE(records.size() == 14);
  CHECK(records[0] ==
        "file,label,probability,distance,runner_up,runner_up_probability,runner_up_distance,error");
  CHECK(records[1].starts_with("query/0-ash.bmp,"));
  CHECK(records[3].starts_with("\"query/0-birch, white.bmp\","));
  CHECK(records[1].ends_with(","));
}

TEST_CASE("a query that cannot be read has its error in its row, the others are classified") {
  const TemporaryFolder folder;
  Files files = four_classes(2, 1);
  files["query/broken.png"] = "text";
  files["query/.hidden.png"] = files["query/deeper/1.png"] = files["query/notes.txt"] = "text";
  write_folder(folder.path(), files);
  save_untrained(folder / "m.safetensors", "lsed", DistanceMethod::gemm);
  const std::string arguments = "--model m.safetensors --support support --query none.png query";
  const ProgramResult result = classify(arguments + " --json", folder.path());
  const nlohmann::json json = json_of(result, 1);
  REQUIRE(json["results"].size() == 14);
  CHECK(json["results"][0]["file"] == "none.png");
  CHECK(contains(json["results"][0]["error"], "No such file"));
  CHECK_FALSE(json["results"][0].contains("label"));
  CHECK(json["results"][13]["file"] == "query/broken.png");
  CHECK(contains(json["results"][13]["error"], "not a PNG, JPEG or BMP"));
  for (std::size_t i = 1; i < 13; ++i) CHECK(json["results"][i].contains("label"));
  CHECK(contains(result.errors, "none.png"));
  CHECK(contains(result.errors, "query/broken.png: not a PNG"));
  CHECK(contains(result.errors, "2 of 14 images were not classified"));
  CHECK(contains(result.errors, "2 files or folders are no images"));
  CHECK_FALSE(contains(result.errors, "hidden"));

  const ProgramResult table = classify(arguments + " --quiet", folder.path());
  CHECK(table.code == 1);
  CHECK(contains(lines(table.output).back(),
                 "query/broken.png          not classified: not a PNG, JPEG or BMP"));
  CHECK_FALSE(contains(table.errors, "files or folders"));
  const ProgramResult csv = classify(arguments + " --csv", folder.path());
  CHECK(csv.code == 1);
  CHECK(lines(csv.output)[1].starts_with("none.png,,,,,,,"));

  const ProgramResult none =
      classify("--model m.safetensors --support support --query none.png", folder.path());
  CHECK(none.code == 1);
  CHECK(lines(none.output).size() == 2);
}

TEST_CASE("a terminal obeys no name in the table") {
  const TemporaryFolder folder;
  Files files = four_classes(2, 1);
  files["query/red\x1b[31m.png"] = "text";
  write_folder(folder.path(), files);
  save_untrained(folder / "m.safetensors", "lsed", DistanceMethod::gemm);
  const ProgramResult table =
      classify("--model m.safetensors --support support --query query", folder.path());
  CHECK_MESSAGE(contains(table.output, "query/red\\x1b[31m.png"), table.output);
  CHECK_FALSE(contains(table.output, "\x1b"));
}

TEST_CASE("a support image that cannot be read is left out while its class has others") {
  const TemporaryFolder folder;
  Files files = four_classes(2, 1);
  files["support/elm/0.bmp"] = "text";
  files["support/elm/.hidden"] = files["support/elm/readme.txt"] = "text";
  write_folder(folder.path(), files);
  save_untrained(folder / "m.safetensors", "lsed", DistanceMethod::gemm);
  const std::string arguments = "--model m.safetensors --support support --query query --json";
  const ProgramResult result = classify(arguments, folder.path());
  const nlohmann::json json = json_of(result);
  CHECK(json["support"]["elm"] == 1);
  CHECK(json["support"]["oak"] == 2);
  REQUIRE(json["skipped"].size() == 1);
  CHECK(json["skipped"][0]["file"] == "support/elm/0.bmp");
  CHECK(contains(result.errors, "support/elm/0.bmp: not a PNG"));
  CHECK(contains(result.errors, "its other images"));
  spill(folder / "support/elm/1.bmp", "text");
  const ProgramResult worse = classify(arguments, folder.path());
  CHECK(worse.code == 1);
  CHECK(contains(worse.errors, "class 'elm' has no image that can be read"));
  CHECK(contains(worse.errors, "support/elm/1.bmp"));
}

TEST_CASE("what classify cannot work with is said at once") {
  const TemporaryFolder folder;
  write_folder(folder.path(), four_classes(1, 1));
  for (const char* name : {"empty", "no-images/a", "flat", "one/a", "hollow/a", "hollow/b"}) {
    fs::create_directories(folder / name);
  }
  const std::string image = glyph_file(0, 0, 1);
  spill(folder / "flat/1.bmp", image);
  spill(folder / "one/a/1.bmp", image);
  spill(folder / "hollow/a/1.bmp", image);
  save_untrained(folder / "m.safetensors", "sed", DistanceMethod::gemm);
  const auto error = [&](const std::string& model, const std::string& support,
                         const std::string& query, int code, const std::string& more = "") {
    const ProgramResult result = classify(
        "--model " + model + " --support " + support + " --query " + query + more, folder.path());
    CAPTURE(result.errors);
    CHECK(result.code == code);
    CHECK(result.output.empty());
    return result.errors;
  };
  const std::string model = "m.safetensors", support = "support", query = "query";
  CHECK(contains(error("missing", support, query, 2), "missing: no such run folder or checkpoint"));
  CHECK(contains(error("query", support, query, 2), "query"));
  CHECK(contains(error("flat/1.bmp", support, query, 1), "flat/1.bmp"));
  CHECK(contains(error(model, "missing", query, 1), "there is no folder missing"));
  CHECK(contains(error(model, "empty", query, 1), "has 0 classes"));
  CHECK(contains(error(model, "flat", query, 1), "a folder of images for each class"));
  CHECK(contains(error(model, "one", query, 1), "has 1 classes"));
  CHECK(contains(error(model, "hollow", query, 1), "class 'b' has no images"));
  CHECK(contains(error(model, support, "empty", 2), "the folder empty has no images"));
  CHECK(contains(error(model, support, "no-images", 2), "not in its sub-folders"));
  CHECK(contains(error(model, support, query, 2, " --csv --json"), "exclude each other"));
  CHECK(run_program("classify --model m --support s").code == 2);
}

TEST_CASE("a model that does not say how its images were prepared is used with a warning") {
  const TemporaryFolder folder;
  write_folder(folder.path(), four_classes(1, 1));
  const std::string arguments = "--model m.safetensors --support support --query query --json";
  for (const char* preprocessing : {"", "by hand, version 7"}) {
    save_untrained(folder / "m.safetensors", "sed", DistanceMethod::gemm, preprocessing, 32, 3);
    const ProgramResult result = classify(arguments, folder.path());
    CHECK(json_of(result)["images"] == "32x32 RGB, the centre square");
    CHECK(contains(result.errors, "does not say how its images were prepared"));
    CHECK(contains(result.errors, preprocessing));
  }
  save_untrained(folder / "m.safetensors", "sed", DistanceMethod::gemm,
                 picture_preprocessing(32, 3), 32, 3);
  const ProgramResult result = classify(arguments, folder.path());
  CHECK(json_of(result)["images"] == "32x32 RGB, the centre square");
  CHECK(result.errors.empty());
}

TEST_CASE("embed lists what it wrote and leaves out what it cannot read") {
  const TemporaryFolder folder;
  const std::string image = glyph_file(0, 0, 1), other = glyph_file(1, 0, 1);
  Files files;
  files["in/b/2.BMP"] = files["in/a.bmp"] = image;
  files["in/b/10.bmp"] = other;
  files["in/b/deeper/1.bmp"] = files["in/.hidden/1.bmp"] = files["in/b/notes.txt"] = image;
  files["in/z.png"] = "text";
  files["only/bad.png"] = "text";
  files["empty/sub/notes.txt"] = "text";
  write_folder(folder.path(), files);
  save_untrained(folder / "m.safetensors", "sed", DistanceMethod::gemm);
  const auto embed = [&](const std::string& arguments) {
    return run_program("embed --device cpu --model m.safetensors " + arguments, folder.path());
  };
  const ProgramResult result = embed("--images in/b/10.bmp in --out e.npy --names list --json");
  const nlohmann::json json = json_of(result, 1);
  CHECK(json["images"] == 4);
  REQUIRE(json["errors"].size() == 1);
  CHECK(json["errors"][0]["file"] == "in/z.png");
  CHECK(contains(result.errors, "in/z.png: not a PNG"));
  CHECK(contains(result.errors, "1 of 5 images could not be read"));
  CHECK(contains(result.errors, "2 files or folders are no images"));
  CHECK(slurp(folder / "list") == "in/b/10.bmp\nin/a.bmp\nin/b/10.bmp\nin/b/2.BMP\n");
  const Npy npy = read_npy(folder / "e.npy");
  REQUIRE(npy.rows == 4);
  const auto row = [&](std::size_t i) {
    const auto first = npy.values.begin() + static_cast<std::ptrdiff_t>(i * npy.columns);
    return std::vector<float>(first, first + static_cast<std::ptrdiff_t>(npy.columns));
  };
  CHECK(row(0) == row(2));
  CHECK(row(1) == row(3));
  CHECK(row(0) != row(1));

  const auto error = [&](const std::string& arguments, int code) {
    const ProgramResult failed = embed(arguments);
    CHECK(failed.code == code);
    CHECK(failed.output.empty());
    return failed.errors;
  };
  CHECK(contains(error("--images only --out o.npy", 1), "nothing was written"));
  CHECK_FALSE(fs::exists(folder / "o.npy"));
  CHECK_FALSE(fs::exists(folder / "o.txt"));
  CHECK(contains(error("--images empty --out o.npy", 2), "has no images"));
  CHECK(contains(error("--images in --out none/o.npy", 2), "there is no folder none"));
  CHECK(contains(error("--images in --out o.txt", 2), "give --names FILE"));
  CHECK(contains(run_program("embed --model none --images in --out o.npy", folder.path()).errors,
                 "no such run folder or checkpoint"));
}

}  // namespace protolith::testing
