// Argument checks shared by the backends: each throws Error naming the argument and what was wrong.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

#include "engine/tensor.h"
#include "kernels/image_extents.h"

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

/// Each f32 tensor is of shape [channels].
void expect_channels(std::initializer_list<std::pair<const Tensor*, std::string_view>> tensors,
                     std::int64_t channels, Device device);

/// An f32 tensor of rank 1 or more as a matrix whose columns are its last axis.
struct RowsChannels {
  std::int64_t rows, channels;
};
RowsChannels rows_channels(const Tensor& x, std::string_view name, Device device);

/// [rows of op(a), columns of op(b)] of a product of f32 matrices, op transposing where asked.
/// Throws Error when their inner extents differ.
Shape product_shape(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                    Device device);
/// Queries [Q,F] and prototypes [P,F].
void expect_sides(const Tensor& queries, const Tensor& prototypes, Device device);

/// [N,P,Q,K] of a convolution of x [N,H,W,C] with weight [K,R,S,C]. Throws Error when the kernel
/// does not fit the padded image or the channels differ.
Shape convolution_shape(const Shape& x, const Shape& weight, std::int64_t stride,
                        std::int64_t padding);
/// [N, H/2, W/2, C]; throws Error when an image side is below 2.
Shape pooled_shape(const Shape& x);
/// The extents of images x [N,H,W,C].
ImageExtents image_extents(const Shape& x);
/// A histogram's edges: two or more finite ascending numbers; its counts of `values` are 32-bit.
void expect_edges(std::span<const float> edges, std::int64_t values);

}  // namespace protolith
