// Choosing a CUDA device, with messages that say which of the many ways to have none it is.
#pragma once

#include <string>
#include <vector>

namespace protolith::cuda {

/// Makes device number `index` the current one. Throws Error saying what is missing and what to do
/// when there is no driver, an old driver, no device, one too old for our kernels or one that they
/// were not compiled for; UsageError when there are fewer devices.
void use_device(int index);

/// 10 * major + minor of device number `index`.
int compute_capability(int index);

/// "NVIDIA H100, compute capability 9.0" of device number `index`.
std::string device_description(int index);
/// Of all devices, by number; none where there is no driver or no device.
std::vector<std::string> device_descriptions();

}  // namespace protolith::cuda
