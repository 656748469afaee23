# Every third-party dependency, found in one place, each as one imported target Protolith::NAME.
# third_party/install.sh installs them from Debian, third_party/README.md says why each is here.
# Sets PROTOLITH_CUDA_FOUND (and the targets of FindCUDAToolkit) where PROTOLITH_CUDA asks for it.
set(_missing "")

include(${CMAKE_CURRENT_LIST_DIR}/libraries.cmake)
protolith_dependency(random123 librandom123-dev Random123/philox.h)
protolith_dependency(json nlohmann-json3-dev nlohmann/json.hpp)
protolith_dependency(cli11 libcli11-dev CLI/CLI.hpp)
protolith_dependency(toml libtomlplusplus-dev toml++/toml.h)
protolith_dependency(stb libstb-dev stb/stb_image.h)
if(PROTOLITH_TESTS)
  protolith_dependency(doctest doctest-dev doctest/doctest.h)
endif()

if(_missing)
  list(JOIN _missing " " _missing)
  message(FATAL_ERROR "These packages are missing: ${_missing}\n"
                      "Run third_party/install.sh, then configure again.")
endif()
set(Protolith_FOUND TRUE)

# CUDA. Where its headers and cuDNN's are, the tests build the CUDA backend with stand-ins for its
# libraries, whatever PROTOLITH_CUDA says: PROTOLITH_CUDA_HEADERS_FOUND and Protolith::cuda_headers.
# PROTOLITH_CUDA: AUTO builds the backend where there is all it needs, ON requires that, OFF does
# not: PROTOLITH_CUDA_FOUND, the targets of FindCUDAToolkit and Protolith::cudnn.
if(NOT PROTOLITH_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "PROTOLITH_CUDA is '${PROTOLITH_CUDA}': must be AUTO, ON or OFF")
endif()
find_package(CUDAToolkit 12.8 QUIET)
if(CUDAToolkit_FOUND)
  find_path(PROTOLITH_cudnn_INCLUDE cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(PROTOLITH_cudnn_cudnn cudnn HINTS ${CUDAToolkit_LIBRARY_DIR}
               ${CUDAToolkit_LIBRARY_ROOT}/lib)
  find_path(PROTOLITH_cupti_INCLUDE cupti.h HINTS ${CUDAToolkit_INCLUDE_DIRS}
            ${CUDAToolkit_LIBRARY_ROOT}/extras/CUPTI/include)
  mark_as_advanced(PROTOLITH_cudnn_INCLUDE PROTOLITH_cudnn_cudnn PROTOLITH_cupti_INCLUDE)
endif()

# NVTX, NVIDIA's annotations for profilers: headers of the toolkit, useful on machines without a GPU.
if(CUDAToolkit_FOUND AND NOT TARGET Protolith::nvtx)
  find_path(PROTOLITH_nvtx_INCLUDE nvtx3/nvToolsExt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  mark_as_advanced(PROTOLITH_nvtx_INCLUDE)
  if(PROTOLITH_nvtx_INCLUDE)
    add_library(Protolith::nvtx INTERFACE IMPORTED)
    set_target_properties(Protolith::nvtx PROPERTIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
      "${PROTOLITH_nvtx_INCLUDE}")
  endif()
endif()

# Whether they are new enough, asked anew each time: another version may have come since.
set(PROTOLITH_CUDA_HEADERS_FOUND FALSE)
if(CUDAToolkit_FOUND AND PROTOLITH_cudnn_INCLUDE AND PROTOLITH_cupti_INCLUDE)
  include(CheckCXXSourceCompiles)
  set(cuda_includes ${PROTOLITH_cudnn_INCLUDE} ${CUDAToolkit_INCLUDE_DIRS} ${PROTOLITH_cupti_INCLUDE})
  set(CMAKE_REQUIRED_INCLUDES ${cuda_includes})
  set(CMAKE_REQUIRED_QUIET TRUE)
  unset(PROTOLITH_cuda_headers_compile CACHE)
  check_cxx_source_compiles("
    #include <cublas_v2.h>
    #include <cudnn.h>
    #include <cupti.h>
    static_assert(CUDNN_VERSION >= 90800, \"cuDNN is too old\");
    int main() {}" PROTOLITH_cuda_headers_compile)
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_QUIET)
  if(PROTOLITH_cuda_headers_compile)
    set(PROTOLITH_CUDA_HEADERS_FOUND TRUE)
  endif()
endif()
if(PROTOLITH_CUDA_HEADERS_FOUND)
  if(NOT TARGET Protolith::cuda_headers)
    add_library(Protolith::cuda_headers INTERFACE IMPORTED)
    set_target_properties(Protolith::cuda_headers PROPERTIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
      "${cuda_includes}")
  endif()
endif()

set(PROTOLITH_CUDA_FOUND FALSE)
if(NOT PROTOLITH_CUDA STREQUAL "OFF")
  if(PROTOLITH_CUDA_HEADERS_FOUND AND PROTOLITH_cudnn_cudnn AND CUDAToolkit_NVCC_EXECUTABLE)
    set(PROTOLITH_CUDA_FOUND TRUE)
  elseif(PROTOLITH_CUDA STREQUAL "ON")
    message(FATAL_ERROR
      "PROTOLITH_CUDA is ON but the CUDA toolkit (12.8 or newer, with the headers of cuBLAS and CUPTI) or "
      "cuDNN (9.8 or newer) was not found. Put nvcc on the PATH or set CUDAToolkit_ROOT, or configure "
      "with PROTOLITH_CUDA=OFF.")
  elseif(CUDAToolkit_FOUND)
    message(STATUS "The CUDA backend is left out: besides the toolkit ${CUDAToolkit_VERSION} it needs nvcc, "
                   "cuDNN 9.8 or newer and the headers of cuBLAS and CUPTI")
  endif()
endif()
if(PROTOLITH_CUDA_FOUND AND NOT TARGET Protolith::cudnn)
  add_library(Protolith::cudnn INTERFACE IMPORTED)
  set_target_properties(Protolith::cudnn PROPERTIES
    INTERFACE_LINK_LIBRARIES "${PROTOLITH_cudnn_cudnn};Protolith::cuda_headers")
endif()
