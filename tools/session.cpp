#include "tools/session.h"

#include <sys/resource.h>

#include <cstdio>
#include <filesystem>

#include "engine/cpu/thread_count.h"
#include "engine/cuda_loader.h"
#include "tools/json_text.h"

namespace protolith {

namespace {

std::unique_ptr<Backend> open_cpu(const Config& config) {
  PROTOLITH_CHECK_USAGE(config.batch_norm != "cudnn",
                        "--batch-norm cudnn: cuDNN computes on CUDA devices only");
  PROTOLITH_CHECK_USAGE(
      config.precision != "tf32",
      "--precision tf32: CUDA devices compute in it, the CPU computes in fp32 or bf16");
  const bool bf16 = config.precision == "bf16";
  const bool direct = config.convolution == "direct" || (config.convolution == "auto" && bf16);
  return make_cpu_backend(config.threads,
                          direct ? CpuConvolution::direct : CpuConvolution::winograd,
                          bf16 ? CpuPrecision::bf16 : CpuPrecision::fp32);
}

std::unique_ptr<Backend> open_cuda(const Config& config) {
  PROTOLITH_CHECK_USAGE(config.precision != "bf16",
                        "--precision bf16: the CPU computes in it (--device cpu), CUDA devices in "
                        "tf32 or fp32");
  CudaOptions options;
  if (const auto colon = config.device.find(':'); colon != std::string::npos) {
    options.index = std::stoi(config.device.substr(colon + 1));
  }
  options.tf32 = config.precision != "fp32";
  options.deterministic = config.deterministic;
  options.graph = config.graph;
  options.batch_norm = config.batch_norm == "fused"      ? CudaBatchNorm::fused
                       : config.batch_norm == "composed" ? CudaBatchNorm::composed
                                                         : CudaBatchNorm::cudnn;
  // What is asked for by name must not be another.
  options.needs_tf32 = config.precision == "tf32";
  options.needs_cudnn_batch_norm = config.batch_norm == "cudnn";
  if (config.batch_norm == "auto") options.warn = warn;
  use_threads(config.threads);  // images are decoded on the CPU
  return load_cuda_backend(options);
}

}  // namespace

std::unique_ptr<Backend> open_backend(const Config& config, bool quiet) {
  if (config.device == "cpu") return open_cpu(config);
  if (config.device != "auto") return open_cuda(config);
  std::string obstacle = cuda_obstacle();
  const bool may_be_there = obstacle.empty();
  if (may_be_there) {
    try {
      return open_cuda(config);
    } catch (const Error& error) {
      obstacle = error.what();
    }
  }
  // A device that is there and does not serve is said in any case: it may be full, or broken.
  if (!quiet || may_be_there) {
    std::fputs(fmt::format("protolith: computing on the CPU: {}\n", obstacle).c_str(), stderr);
  }
  return open_cpu(config);
}

DatasetOptions data_options(const FolderOptions& folder, bool quiet) {
  DatasetOptions options;
  options.folder = folder;
  if (!quiet) options.warn = warn;
  return options;
}

Dataset open_data(const std::string& spec, bool quiet) {
  return open_dataset(spec, data_options({}, quiet));
}

Dataset open_data(const Config& config, bool quiet) {
  return open_dataset(config.data, data_options(config.folder, quiet));
}

std::string absolute_data(const std::string& spec) {
  const DatasetSpec parts = parse_dataset_spec(spec);
  // The generator's argument is a seed, every other kind's a path.
  if (parts.kind == "synthetic" || parts.argument.empty()) return spec;
  return parts.kind + ":" + std::filesystem::absolute(parts.argument).lexically_normal().string();
}

std::string absolute_path(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

void make_data_absolute(Config& config) {
  config.data = absolute_data(config.data);
  std::string& lists = config.folder.split_lists;
  if (!lists.empty()) lists = absolute_path(lists);
  for (const std::string& path : {config.data, lists}) {
    PROTOLITH_CHECK_USAGE(is_utf8(path), "{}: {}", path, kNotUtf8);
  }
}

void check_outside_data(const Config& config, const std::filesystem::path& out) {
  const DatasetSpec spec = parse_dataset_spec(config.data);
  if (spec.kind != "folder") return;
  const auto data = std::filesystem::weakly_canonical(spec.argument);
  const auto inside =
      std::filesystem::weakly_canonical(std::filesystem::absolute(out)).lexically_relative(data);
  PROTOLITH_CHECK_USAGE(inside.empty() || *inside.begin() == "..",
                        "{}: lies in the folder of images {}, and would be taken for a class of "
                        "them; give another folder with --out",
                        out.string(), data.string());
}

double peak_memory_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void warn(const std::string& message) {
  std::fputs(fmt::format("protolith: warning: {}\n", message).c_str(), stderr);
}

}  // namespace protolith
