#pragma once

#include <map>
#include <string>

#include "models/conv4.h"

namespace protolith {

/// The encoder as an ONNX model (IR version 7, operator set 13: onnxruntime 1.6 and later),
/// encoded: input `images` f32 [count, C, H, W], the values that the network was trained on
/// (normalised, not pixels); output `embeddings` f32 [count, features] in channel, height, width
/// order, by the running statistics; `count` is any. Initializers have PyTorch's names. `metadata`
/// becomes metadata_props.
std::string encode_onnx(const Conv4& model, const std::map<std::string, std::string>& metadata);

}  // namespace protolith
