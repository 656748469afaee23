#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "engine/tensor.h"

namespace protolith {

/// The contents of a safetensors file: named host tensors and free text.
struct SafeTensors {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Files larger than this are refused unless the caller says otherwise.
constexpr std::uint64_t kSafeTensorsLimit = std::uint64_t{4} << 30;

/// Reads a safetensors file (github.com/huggingface/safetensors, "Format"): 8 bytes of header
/// length, a JSON header, the tensors' bytes without holes or overlaps. Element types F32, I32, I64
/// and U8, at most four extents, each at least 1. The file is not trusted: everything is checked
/// before memory is taken for it. Throws Error naming the file, the tensor and the remedy.
SafeTensors read_safetensors(const std::filesystem::path& path,
                             std::uint64_t limit = kSafeTensorsLimit);

/// Writes the file atomically. Equal contents give equal bytes: wider elements first, so that every
/// tensor is aligned to its element, then by name; the data starts at a multiple of 8 bytes. Throws
/// Error on a tensor that is undefined or not on the host, on a name that the format cannot hold,
/// and as AtomicFile does.
void write_safetensors(const std::filesystem::path& path, const SafeTensors& contents);

}  // namespace protolith
