// Argument checks shared by the backends: each throws Error naming the argument and what was wrong.
#pragma once

#include <span>
#include <string_view>

#include "engine/tensor.h"

namespace protolith {

/// The tensor is defined, on `device`, of type `dtype`.
void expect_tensor(const Tensor& tensor, std::string_view name, Device device,
                   DType dtype = DType::f32);
/// The same, and of `rank` extents.
void expect_rank(const Tensor& tensor, std::string_view name, Device device, int rank,
                 DType dtype = DType::f32);
/// The same, and exactly of `shape`.
void expect_shape(const Tensor& tensor, std::string_view name, Device device, const Shape& shape,
                  DType dtype = DType::f32);

/// [N,P,Q,K] of a convolution of x [N,H,W,C] with weight [K,R,S,C]. Throws Error when the kernel
/// does not fit the padded image or the channels differ.
Shape convolution_shape(const Shape& x, const Shape& weight, std::int64_t stride,
                        std::int64_t padding);
/// [N, H/2, W/2, C]; throws Error when an image side is below 2.
Shape pooled_shape(const Shape& x);
/// A histogram's edges: two or more finite ascending numbers; its counts of `values` are 32-bit.
void expect_edges(std::span<const float> edges, std::int64_t values);

}  // namespace protolith
