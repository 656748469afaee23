// What this machine's processor can do at best, measured: the yardstick of benchmarks.
// Arithmetic: independent chains of multiply-adds in registers on every thread, 2 FLOPs each.
// Memory: copying between two blocks larger than any cache, counting bytes read and written.
#pragma once

namespace protolith::cpu {

/// f32 FLOP/s of multiply-adds on all OpenMP threads; takes some 20 ms.
double peak_flops();
/// Bytes/s read plus written by a copy on all OpenMP threads; takes about 0.2 s and 256 MB.
double copy_bandwidth();

}  // namespace protolith::cpu
