// What the stand-in computes, on packed f32 copies of its tensors.
#pragma once

#include <cstdint>
#include <vector>

namespace protolith::emulated::dnn {

using Floats = std::vector<float>;

/// Extents of a convolution: x [n,h,w,c], weight [k,r,s,c], y [n,p,q,k].
struct Convolution {
  std::int64_t n, h, w, c, k, r, s, p, q;
  std::int64_t stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
};

/// Rounded to `bits` mantissa bits (10: TF32, 7: bf16), to nearest, ties away from zero; NaN and
/// infinity pass.
float round_mantissa(float value, int bits);

/// f32 sums of fused products in one order per result. `backwards` reverses the order of images in
/// the weight gradient: another run of a non-deterministic engine.
void convolution_forward(const Convolution& g, const Floats& x, const Floats& weight, Floats& y);
void convolution_backward_data(const Convolution& g, const Floats& dy, const Floats& weight,
                               Floats& dx);
void convolution_backward_weight(const Convolution& g, const Floats& x, const Floats& dy,
                                 bool backwards, Floats& dweight);

/// Batch norm of x [rows, channels], sums in f64.
struct BatchNormForward {
  Floats y, mean, inv_std, next_mean, next_variance;
};
/// `running_mean` and `running_variance` may be empty. The new running variance is made of the
/// unbiased one, as cuDNN does (not a number for one row).
BatchNormForward batch_norm_training(const Floats& x, const Floats& scale, const Floats& bias,
                                     float epsilon, float factor, const Floats& running_mean,
                                     const Floats& running_variance);

struct BatchNormBackward {
  Floats dx, dscale, dbias;
};
BatchNormBackward batch_norm_backward(const Floats& x, const Floats& dy, const Floats& scale,
                                      const Floats& mean, const Floats& inv_std);

}  // namespace protolith::emulated::dnn
