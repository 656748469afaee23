// train and eval as a user runs them: interrupted, killed, out of disk, with wrong input.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/safetensors.h"
#include "tests/data/fixtures.h"
#include "tests/engine/environment.h"
#include "tests/tools/program_json.h"

namespace protolith::testing {
namespace {

/// A run of seconds: 5-way episodes of 15 images, epochs of 5. Direct convolutions: the program is
/// tested here, and the address sanitizer makes Winograd's kernels slow.
const std::string kSmallPreset =
    "--preset demo --train-way 5 --train-query 2 --val-way 5 --val-query 2 --val-episodes 2 "
    "--epoch-episodes 5 --metric lsed --threads 1 --convolution direct";

std::string train(const std::filesystem::path& run, int episodes, int patience = 1000) {
  return "train " + kSmallPreset + " --patience " + std::to_string(patience) + " --episodes " +
         std::to_string(episodes) + " --out '" + run.string() + "'";
}

}  // namespace

TEST_CASE("train, eval and compare, from JSON to text") {
  const TemporaryFolder folder;
  const auto run = folder / "run";
  const ProgramResult training = run_program(train(run, 10) + " --json");
  const nlohmann::json trained = json_of(training);
  if (const char* const device = std::getenv("PROTOLITH_TEST_DEVICE")) {  // what auto must choose
    CHECK_MESSAGE(contains(training.errors, device), training.errors);
  }
  CHECK(trained["episodes"] == 10);
  CHECK(trained["best_epoch"].get<int>() >= 1);
  CHECK(trained["val_accuracy"].get<double>() > 0.2);
  CHECK(trained["val_loss"].get<double>() > 0);
  CHECK(trained["seconds"].get<double>() > 0);
  CHECK(trained["run"] == run.string());

  const std::string model = "'" + run.string() + "'";
  const std::string shape = " --way 5 --query 2 --episodes 20 --threads 1 ";
  const nlohmann::json scored = json_of(run_program("eval " + model + shape + "--json"));
  CHECK(scored["episodes"] == 20);
  CHECK(scored["accuracy"].get<double>() > 0.2);
  CHECK(scored["ci95"].get<double>() > 0);
  CHECK(nlohmann::json::parse(slurp(run / "eval.json")) == scored);

  // Against itself there is no difference; against its last checkpoint's file there may be.
  const nlohmann::json same =
      json_of(run_program("eval " + model + shape + "--json --compare " + model));
  CHECK(same["difference"] == 0);
  CHECK(same["difference_ci95"] == 0);
  CHECK(same["accuracy"] == scored["accuracy"]);
  const nlohmann::json file =
      json_of(run_program("eval '" + (run / "best.safetensors").string() + "'" + shape +
                          "--json --shot 1 --data synthetic"));
  CHECK(file["accuracy"] == scored["accuracy"]);
  CHECK(contains(run_program("eval " + model + shape).output, "accuracy"));
}

TEST_CASE("Ctrl-C saves and exits with 130; the resumed run ends in the same bits") {
  const TemporaryFolder folder;
  REQUIRE(run_program(train(folder / "whole", 150)).code == 0);
  const pid_t child =
      start(words("train " + kSmallPreset + " --patience 1000 --episodes 150 --out " +
                  (folder / "run").string()),
            folder / "log");
  CHECK(wait_for([&] { return std::filesystem::exists(folder / "run" / "last.safetensors"); }));
  kill(child, SIGINT);
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 130);
  CHECK(contains(slurp(folder / "log"), "--resume"));
  const ProgramResult resumed =
      run_program("train --resume '" + (folder / "run").string() + "' --json");
  CHECK(json_of(resumed)["episodes"] == 150);
  for (const char* file : {"last.safetensors", "best.safetensors"}) {
    CHECK(slurp(folder / "run" / file) == slurp(folder / "whole" / file));
  }
}

TEST_CASE("kill -9 at any moment leaves a run that resumes to the same bits") {
  const TemporaryFolder folder;
  REQUIRE(run_program(train(folder / "whole", 60)).code == 0);
  int killed = 0;
  for (const int milliseconds : {0, 3, 9, 20}) {
    CAPTURE(milliseconds);
    const auto run = folder / ("run" + std::to_string(milliseconds));
    const pid_t child = start(
        words("train " + kSmallPreset + " --patience 1000 --episodes 60 --out " + run.string()),
        folder / "log");
    CHECK(wait_for([&] { return std::filesystem::exists(run / "last.safetensors"); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    killed += WIFSIGNALED(status) ? 1 : 0;
    CHECK(json_of(run_program("train --resume '" + run.string() + "' --json"))["episodes"] == 60);
    CHECK(slurp(run / "last.safetensors") == slurp(folder / "whole" / "last.safetensors"));
    CHECK(slurp(run / "best.safetensors") == slurp(folder / "whole" / "best.safetensors"));
  }
  CHECK(killed > 0);
}

TEST_CASE("a disk that is full while saving keeps the last good checkpoint") {
  const TemporaryFolder folder;
  const auto run = folder / "run";
  REQUIRE(run_program(train(folder / "whole", 150)).code == 0);
  const pid_t child = start(
      words("train " + kSmallPreset + " --patience 1000 --episodes 150 --out " + run.string()),
      folder / "log");
  CHECK(wait_for([&] { return std::filesystem::exists(run / "last.safetensors"); }));
  // From now on its files may have 256 KiB at most: a checkpoint no longer fits.
  const rlimit limit{256 << 10, 256 << 10};
  REQUIRE(prlimit(child, RLIMIT_FSIZE, &limit, nullptr) == 0);
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 1);
  CHECK_MESSAGE(contains(slurp(folder / "log"), "safetensors"), slurp(folder / "log"));
  CHECK(json_of(run_program("train --resume '" + run.string() + "' --json"))["episodes"] == 150);
  for (const char* file : {"last.safetensors", "best.safetensors"}) {
    CHECK(slurp(run / file) == slurp(folder / "whole" / file));
  }
}

TEST_CASE("wrong input names the file or value, and loses nothing") {
  const TemporaryFolder folder;
  const auto run = folder / "run";
  REQUIRE(run_program(train(run, 10)).code == 0);
  const std::string last = slurp(run / "last.safetensors");
  spill(folder / "file", "not a folder");
  spill(folder / "text.safetensors", "hello");
  spill(folder / "cut.safetensors", last.substr(0, last.size() / 2));
  std::string huge(8, '\0');
  huge[7] = '\x80';  // a header of 2^63 bytes
  spill(folder / "huge.safetensors", huge + "{}");
  const auto path = [&](const char* name) { return "'" + (folder / name).string() + "'"; };

  struct Case {
    std::string arguments;
    int code;
    std::string message;
  };
  const Case cases[] = {
      {train(run, 10), 2, "--resume"},
      {"train " + kSmallPreset + " --episodes 5 --out " + path("file") + "/run", 1, "file"},
      {"train " + kSmallPreset + " --episodes 5 --out /proc/run", 1, "/proc/run"},
      {"train --preset demo --train-way 5000 --out " + path("x"), 2, "5000"},
      {"train --preset demo --train-shot 15 --train-query 10 --out " + path("x"), 2, "25"},
      {"train --preset demo --val-way 5000 --out " + path("x"), 2, "--val-way"},
      {"train " + kSmallPreset + " --data omniglot:" + path("nowhere") + " --out " + path("x"), 1,
       "nowhere"},
      {"train --resume " + path("run") + " --seed 9", 2, "seed = 9"},
      {"train --resume " + path("run") + " --last-pool on", 2, "last_pool = true"},
      {"train --resume " + path("run") + " --image-size 20", 2, "--image-size 20 has no effect"},
      {"train --trainval " + path("run") + " --split-seed 3", 2, "--split-seed 3 has no effect"},
      {"eval " + path("run") + " --image-mode grey", 2, "--image-mode grey has no effect"},
      {"train --resume " + path("nowhere"), 2, "nowhere"},
      {"train --resume " + path("run") + " --out " + path("x"), 2, "--out"},
      {"train --resume " + path("run") + " --trainval " + path("run"), 2, "--trainval"},
      {"train --trainval " + path("nowhere"), 2, "nowhere"},
      {"eval " + path("nowhere"), 2, "nowhere"},
      {"eval " + (run / "best.safetensors").string(), 2, "--data"},
      {"eval " + path("run") + " --episodes 0", 2, "--episodes"},
      {"eval " + path("run") + " --bn-eval batch", 2, "batch"},
      {"eval " + path("run") + " --compare " + path("nowhere"), 2, "nowhere"},
      {"eval " + path("run") + " --way 0", 2, "--way"},
      {"eval " + path("run") + " --way 5000", 2, "5000"},
      {"eval " + path("run") + " --split tset", 2, "tset"},
      {"eval " + path("text.safetensors"), 1, "text.safetensors"},
      {"eval " + path("cut.safetensors"), 1, "cut.safetensors"},
      {"eval " + path("huge.safetensors"), 1, "huge.safetensors"},
      {"eval " + path("run") + " --compare " + path("text.safetensors"), 1, "text.safetensors"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.arguments);
    const ProgramResult result = run_program(c.arguments);
    CHECK(result.code == c.code);
    CHECK(result.output.empty());
    CHECK_MESSAGE(contains(result.errors, c.message), result.errors);
    CHECK_MESSAGE(contains(result.errors, "protolith: error: "), result.errors);
  }
  CHECK_FALSE(std::filesystem::exists(folder / "x"));
  CHECK(slurp(run / "last.safetensors") == last);
}

TEST_CASE("what a run that has ended, or a name that misleads, is told") {
  const TemporaryFolder folder;
  const std::string run = "'" + (folder / "run").string() + "'";
  REQUIRE(run_program(train(folder / "run", 10)).code == 0);
  CHECK(contains(run_program("train --resume " + run).errors, "it has ended already; --episodes"));
  const auto export_as = [&](const std::string& name) {
    return run_program("export --model " + run + " --out '" + (folder / name).string() + "'");
  };
  CHECK(contains(export_as("a.pt").errors, "a.pt: readers may expect the name to end in .onnx"));
  CHECK(export_as("a.onnx").errors.empty());
}

TEST_CASE("one episode has an accuracy and no interval") {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  REQUIRE(run_program(train(folder / "run", 10)).code == 0);
  const std::string eval = "eval '" + run + "' --compare '" + run + "' --way 5 --episodes 1";
  const nlohmann::json result = json_of(run_program(eval + " --json"));
  CHECK(result["episodes"] == 1);
  CHECK(result["ci95"].is_null());
  CHECK(result["difference"] == 0);
  CHECK(result["difference_ci95"].is_null());
  const std::string text = run_program(eval).output;
  CHECK_MESSAGE(contains(text, "): +0.00 points"), text);
  CHECK_FALSE(contains(text, "nan"));
}

TEST_CASE("export --json has the pixels' scale and shift as numbers, a channel each") {
  const TemporaryFolder folder;
  REQUIRE(run_program(train(folder / "run", 10)).code == 0);
  const nlohmann::json result =
      json_of(run_program("export --json --model '" + (folder / "run").string() + "' --out '" +
                          (folder / "a.onnx").string() + "'"));
  for (const char* const key : {"pixel_scale", "pixel_shift"}) {
    CAPTURE(key);
    REQUIRE(result.at(key).size() == 1);
    CHECK(result[key][0].is_number());
  }
}

TEST_CASE("a model of drawings is not tested on photographs without a word") {
  const TemporaryFolder folder;
  for (const char* name : {"a/1.png", "a/2.png", "b/1.png", "b/2.png"}) {
    std::filesystem::create_directories((folder / name).parent_path());
    spill(folder / name, png(28, 28, [](int x, int) { return x > 9; }));
  }
  const std::string eval =
      "eval '" PROTOLITH_GOLDENS
      "/../../models/pretrained/omniglot-20w1s-lsed.safetensors' --data folder:'" +
      folder.path().string() + "' --split-shares 0,0,1 --way 2 --shot 1 --query 1 --episodes 2 ";
  const std::string remedy = "'protolith classify' and 'embed' make such images";
  CHECK(contains(run_program(eval).errors, remedy));
  const ProgramResult tested = run_program(eval + "--image-size 28 --image-mode grey");
  CHECK(tested.code == 0);
  CHECK(contains(tested.errors, remedy));
}

TEST_CASE("without a CUDA device, cuda is refused with the reason and auto trains on the CPU") {
  const Environment hidden("CUDA_VISIBLE_DEVICES", "");  // where there are some
  const TemporaryFolder folder;
  const std::string out = " --out '" + (folder / "run").string() + "'";
  const ProgramResult refused = run_program("train " + kSmallPreset + " --device cuda" + out);
  CHECK(refused.code == 1);
  CHECK(contains(refused.errors, "protolith: error: device cuda: "));
  CHECK(contains(refused.errors, "--device cpu"));
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
  const ProgramResult trained =
      run_program("train " + kSmallPreset + " --device auto --episodes 1" + out);
  CHECK(trained.code == 0);
  CHECK(contains(trained.errors, "protolith: computing on the CPU: "));
}

TEST_CASE("what only CUDA has is refused on the CPU") {
  const TemporaryFolder folder;
  for (const char* flag : {"--batch-norm cudnn", "--precision tf32"}) {
    CAPTURE(flag);
    const ProgramResult result = run_program("train " + kSmallPreset + " --device cpu " + flag +
                                             " --out '" + (folder / "run").string() + "'");
    CHECK(result.code == 2);
    CHECK(contains(result.errors, flag));
  }
}

TEST_CASE("bf16 where it cannot be had is refused with the remedy") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& flags, const char* remedy) {
    CAPTURE(flags);
    const ProgramResult result = run_program("train --data synthetic --precision bf16 " + flags +
                                             " --out '" + (folder / "run").string() + "'");
    CHECK(result.code == 2);
    CHECK(contains(result.errors, "precision bf16: "));
    CHECK_MESSAGE(contains(result.errors, remedy), result.errors);
    CHECK_FALSE(std::filesystem::exists(folder / "run"));
  };
  refused("--device cpu --convolution winograd", "--convolution direct");
  refused("--device cuda", "--device cpu");
  const Environment older("ONEDNN_MAX_CPU_ISA", "AVX2");
  refused("--device cpu", "--precision fp32");
}

TEST_CASE("damaged checkpoints of a run are refused by name") {
  const TemporaryFolder folder;
  const auto run = folder / "run";
  REQUIRE(run_program(train(run, 5)).code == 0);
  const SafeTensors good = read_safetensors(run / "last.safetensors");
  const auto refused = [&](const std::function<void(SafeTensors&)>& change, const char* message) {
    SafeTensors bad = good;
    change(bad);
    write_safetensors(run / "last.safetensors", bad);
    const ProgramResult result = run_program("train --resume '" + run.string() + "' --episodes 10");
    CAPTURE(message);
    CHECK((result.code == 1 || result.code == 2));
    CHECK_MESSAGE(contains(result.errors, "last.safetensors"), result.errors);
    CHECK_MESSAGE(contains(result.errors, message), result.errors);
  };
  refused([](SafeTensors& f) { f.metadata.erase("training_state"); }, "no training state");
  refused([](SafeTensors& f) { f.metadata["training_state"] = "{"; }, "is not JSON");
  refused([](SafeTensors& f) { f.metadata["training_state"] = "[]"; }, "last.safetensors");
  refused([](SafeTensors& f) { f.metadata["format_version"] = "99"; }, "newer");
  refused([](SafeTensors& f) { f.tensors.erase("optimizer.first_moment"); },
          "optimizer.first_moment");
  refused([](SafeTensors& f) { f.tensors.erase("encoder.1.0.weight"); }, "encoder.1.0.weight");
  refused([](SafeTensors& f) { f.tensors["encoder.1.1.bias"] = Tensor::host({63}); },
          "encoder.1.1.bias");
  for (const std::int64_t filters : {12000, 1000000000}) {  // refused before memory is taken
    refused(
        [&](SafeTensors& f) {
          nlohmann::json info = nlohmann::json::parse(f.metadata["protolith"]);
          info["encoder"]["filters"] = filters;
          f.metadata["protolith"] = info.dump();
        },
        std::to_string(filters).c_str());
  }
  refused([](SafeTensors& f) { f.metadata["training_state"] = std::string(2 << 20, '['); },
          "at most");
}

TEST_CASE("a checkpoint that asks for more than its file holds is refused at once") {
  const TemporaryFolder folder;
  const auto run = folder / "run";
  REQUIRE(run_program(train(run, 5)).code == 0);
  SafeTensors file = read_safetensors(run / "best.safetensors");
  const auto refused = [&](const SafeTensors& bad, const char* message) {
    write_safetensors(folder / "bad.safetensors", bad);
    const ProgramResult result =
        run_program("eval '" + (folder / "bad.safetensors").string() + "' --data synthetic");
    CHECK(result.code == 1);
    CHECK_MESSAGE(contains(result.errors, "bad.safetensors"), result.errors);
    CHECK_MESSAGE(contains(result.errors, message), result.errors);
  };
  SafeTensors large = file;
  nlohmann::json info = nlohmann::json::parse(large.metadata["protolith"]);
  info["encoder"]["filters"] = 12000;
  large.metadata["protolith"] = info.dump();
  refused(large, "12000");
  SafeTensors fraction = file;
  info["encoder"]["filters"] = 64.5;
  fraction.metadata["protolith"] = info.dump();
  refused(fraction, "64.5");
  file.tensors["encoder.2.1.running_var"].host_span<float>()[3] = -1.0F;
  refused(file, "encoder.2.1.running_var");
  file.tensors["encoder.2.1.running_var"].host_span<float>()[3] =
      std::numeric_limits<float>::quiet_NaN();
  refused(file, "encoder.2.1.running_var");
}

TEST_CASE("--trainval retrains on train + val for the best epoch plus patience") {
  const TemporaryFolder folder;
  const auto run = folder / "run";
  const nlohmann::json first = json_of(run_program(train(run, 20, 10) + " --json"));
  const nlohmann::json second = json_of(run_program("train --json --trainval '" + run.string() +
                                                    "' --out '" + (folder / "all").string() + "'"));
  CHECK(second["episodes"].get<int>() == (first["best_epoch"].get<int>() + 10) * 5);
  for (const char* const key : {"val_accuracy", "val_loss", "best_epoch"}) {
    CAPTURE(key);
    CHECK(second.at(key).is_null());
  }
  // Flags change the sum's parts, or its place.
  const int best = first["best_epoch"].get<int>();
  const auto episodes_with = [&](const std::string& flags, const std::string& name) {
    const nlohmann::json result =
        json_of(run_program("train --json --trainval '" + run.string() + "' --out '" +
                            (folder / name).string() + "' " + flags));
    return result["episodes"].get<int>();
  };
  CHECK(episodes_with("--patience 2", "patience") == (best + 2) * 5);
  CHECK(episodes_with("--epoch-episodes 3 --patience 1", "size") == (best + 1) * 3);
  CHECK(episodes_with("--episodes 7", "episodes") == 7);
  CHECK(episodes_with("--episodes 90", "more") == 90);
  CHECK(episodes_with("--max-epochs 3", "epochs") == 15);
  const nlohmann::json scored = json_of(run_program("eval '" + (folder / "all").string() +
                                                    "' --way 5 --query 2 --episodes 5 --json"));
  CHECK(scored["episodes"] == 5);
  CHECK(nlohmann::json::parse(slurp(folder / "all/eval.json")) == scored);
  const std::string seen = " --way 5 --query 2 --episodes 5 --split val";
  const std::string words = "trained on the validation classes too";
  CHECK(contains(run_program("eval '" + (folder / "all").string() + "'" + seen).errors, words));
  CHECK_FALSE(contains(run_program("eval '" + run.string() + "'" + seen).errors, words));
}

}  // namespace protolith::testing
