# The third-party libraries that programs with Protolith in them link, each as one imported target
# Protolith::NAME. FindProtolith.cmake adds what only building Protolith needs; what is installed has a
# copy of this file for those who build with it. Appends the packages of missing ones to _missing.

# protolith_dependency(NAME PACKAGE HEADER [LIBRARY...]): a target from a header and libraries;
# PACKAGE is Debian's, for the message when it is missing.
function(protolith_dependency name package header)
  find_path(PROTOLITH_${name}_INCLUDE ${header})
  mark_as_advanced(PROTOLITH_${name}_INCLUDE)
  set(libraries "")
  foreach(library ${ARGN})
    find_library(PROTOLITH_${name}_${library} ${library} PATH_SUFFIXES openblas-openmp)
    mark_as_advanced(PROTOLITH_${name}_${library})
    list(APPEND libraries ${PROTOLITH_${name}_${library}})
  endforeach()
  if(NOT PROTOLITH_${name}_INCLUDE OR libraries MATCHES "NOTFOUND")
    list(APPEND _missing ${package})
    set(_missing "${_missing}" PARENT_SCOPE)
    return()
  endif()
  if(NOT TARGET Protolith::${name})
    add_library(Protolith::${name} INTERFACE IMPORTED)
    set_target_properties(Protolith::${name} PROPERTIES
      INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${PROTOLITH_${name}_INCLUDE}"
      INTERFACE_LINK_LIBRARIES "${libraries}")
  endif()
endfunction()

protolith_dependency(fmt libfmt-dev fmt/format.h fmt)
protolith_dependency(onednn libdnnl-dev dnnl.hpp dnnl)
# The OpenMP build, so that two thread pools do not spin against each other.
protolith_dependency(blas libopenblas-openmp-dev openblas-openmp/cblas.h openblas)
protolith_dependency(highway libhwy-dev hwy/highway.h hwy)
protolith_dependency(archive libarchive-dev archive.h archive)
