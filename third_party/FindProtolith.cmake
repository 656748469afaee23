# Every third-party dependency as one imported target Protolith::NAME. Each comes from Debian's
# packages; third_party/install.sh installs them, third_party/README.md says why each is here.
find_package(PkgConfig QUIET)
set(_missing "")

# protolith_dependency(NAME header [library...]): a target from a header and libraries.
function(protolith_dependency name header)
  find_path(PROTOLITH_${name}_INCLUDE ${header} PATH_SUFFIXES stb openblas)
  set(libraries "")
  foreach(library ${ARGN})
    find_library(PROTOLITH_${name}_${library} ${library}
                 PATH_SUFFIXES openblas-openmp x86_64-linux-gnu/openblas-openmp)
    list(APPEND libraries ${PROTOLITH_${name}_${library}})
  endforeach()
  if(NOT PROTOLITH_${name}_INCLUDE OR libraries MATCHES "NOTFOUND")
    set(_missing "${_missing} ${name}" PARENT_SCOPE)
    return()
  endif()
  if(NOT TARGET Protolith::${name})
    add_library(Protolith::${name} INTERFACE IMPORTED)
    set_target_properties(Protolith::${name} PROPERTIES
      INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${PROTOLITH_${name}_INCLUDE}"
      INTERFACE_LINK_LIBRARIES "${libraries}")
  endif()
endfunction()

protolith_dependency(fmt fmt/format.h fmt)
protolith_dependency(onednn dnnl.hpp dnnl)
protolith_dependency(blas openblas-openmp/cblas.h openblas)
protolith_dependency(highway hwy/highway.h hwy)
protolith_dependency(random123 Random123/philox.h)
protolith_dependency(json nlohmann/json.hpp)
protolith_dependency(cli11 CLI/CLI.hpp)
protolith_dependency(toml toml++/toml.h)
protolith_dependency(archive archive.h archive)
protolith_dependency(stb stb/stb_image.h)
protolith_dependency(doctest doctest/doctest.h)

include(FindPackageHandleStandardArgs)
if(_missing)
  set(Protolith_FOUND FALSE)
  message(FATAL_ERROR "missing libraries:${_missing}. Run third_party/install.sh first.")
endif()
set(Protolith_FOUND TRUE)
