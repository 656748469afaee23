// Which of the instruction sets that the kernels are compiled for runs here, as Highway chooses.
#pragma once

namespace protolith::cpu {

/// The instruction set that the kernels run on here, in Highway's words: "AVX3" (AVX-512), "AVX2",
/// "SCALAR" or "EMU128" (neither). Results may differ in the last bits between them.
const char* instruction_set();

}  // namespace protolith::cpu
