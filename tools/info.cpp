// `protolith info`: what this program is, how it was built and what it can run on.
#include <archive.h>
#include <fmt/format.h>
#include <openblas-openmp/cblas.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <dnnl.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/backend.h"
#include "engine/cuda_loader.h"
#include "tools/command.h"

namespace protolith {
namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

nlohmann::json libraries() {
  const dnnl_version_t* onednn = dnnl_version();
  return {
      {"oneDNN", fmt::format("{}.{}.{}", onednn->major, onednn->minor, onednn->patch)},
      {"OpenBLAS", openblas_get_config()},
      {"fmt",
       fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"libarchive", archive_version_string()},
      {"CLI11", CLI11_VERSION},
      {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                    NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
  };
}

nlohmann::json devices() {
  std::string cuda = cuda_obstacle();
  bool available = false;
  std::vector<std::string> all;
  if (cuda.empty()) {
    try {
      cuda = load_cuda_backend({})->description();
      available = true;
      all = cuda_devices();
    } catch (const Error& error) {
      cuda = error.what();
    }
  }
  nlohmann::json devices = nlohmann::json::array({
      {{"name", "cpu"},
       {"available", true},
       {"description", make_cpu_backend()->description()},
       {"cores", std::thread::hardware_concurrency()}},
      {{"name", "cuda"},
       {"available", available},
       {"description", available ? cuda : "not available: " + cuda}},
  });
  for (std::size_t i = 1; i < all.size(); ++i) {
    devices.push_back(
        {{"name", fmt::format("cuda:{}", i)}, {"available", true}, {"description", all[i]}});
  }
  return devices;
}

nlohmann::json collect() {
  return {{"version", PROTOLITH_VERSION},
          {"compiler", compiler()},
          {"build",
           {{"type", PROTOLITH_BUILD_TYPE},
            {"sanitizers", PROTOLITH_SANITIZERS},
            {"cuda", PROTOLITH_HAS_CUDA != 0}}},
          {"devices", devices()},
          {"libraries", libraries()}};
}

void print_text(const nlohmann::json& info) {
  const auto text = [](const nlohmann::json& value) { return value.get<std::string>(); };
  std::string out = fmt::format("protolith {}\n", text(info["version"]));
  const std::string sanitizers = text(info["build"]["sanitizers"]);
  out += fmt::format("  compiler   {}\n  build      {}{}\n\ndevices\n", text(info["compiler"]),
                     text(info["build"]["type"]),
                     sanitizers.empty() ? "" : ", sanitizers " + sanitizers);
  for (const nlohmann::json& device : info["devices"]) {
    out += fmt::format("  {:<15}{}\n", text(device["name"]), text(device["description"]));
  }
  out += "\nlibraries\n";
  for (const auto& [name, version] : info["libraries"].items()) {
    out += fmt::format("  {:<15}{}\n", name, text(version));
  }
  std::fputs(out.c_str(), stdout);
}

}  // namespace

void add_info_command(CommandLine& program) {
  const auto output = std::make_shared<OutputFlags>();
  CLI::App& command =
      program.add_command("info", "Show the version, the devices and how the program was built",
                          "  protolith info\n"
                          "  protolith info --json",
                          [output] {
                            const nlohmann::json info = collect();
                            if (output->json) {
                              print_json(info);
                            } else {
                              print_text(info);
                            }
                            return kExitDone;
                          });
  output->add_to(command);
}

}  // namespace protolith
