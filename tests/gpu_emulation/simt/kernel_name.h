// The names of kernels, for messages.
#pragma once

#include <string>

namespace simt {

/// The name of the function at that address, without its namespaces' and parameters' text; "kernel"
/// when the program's symbol table does not tell.
std::string kernel_name(const void* function);

}  // namespace simt
