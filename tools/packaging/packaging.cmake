# What `cmake --install` puts where, and the Debian packages that CPack makes of it (component
# runtime: protolith; development: protolith-dev). The CUDA module goes with `cmake --install` only:
# its libraries are not Debian's.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# With the folders of what they were linked with: of CUDA, which ld.so need not know, and of OpenBLAS'
# OpenMP build, of whose kinds Debian's alternatives would choose another.
set_target_properties(protolith PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS protolith COMPONENT runtime)
if(PROTOLITH_CUDA_FOUND)
  set_target_properties(protolith_cuda PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS protolith_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/protolith
          COMPONENT cuda)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/models/pretrained
        DESTINATION ${CMAKE_INSTALL_DATADIR}/protolith COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright
        COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/protolith-dev
        RENAME copyright COMPONENT development)

# The manual page and what shells complete, as the program prints them.
if(NOT CMAKE_CROSSCOMPILING AND NOT PROTOLITH_SANITIZE)
  foreach(printed "man;protolith.1;${CMAKE_INSTALL_MANDIR}/man1"
                  "bash;protolith;${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
                  "zsh;_protolith;${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions"  # Debian's in /usr
                  "fish;protolith.fish;${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
    list(GET printed 0 form)
    list(GET printed 1 name)
    list(GET printed 2 folder)
    set(file ${CMAKE_BINARY_DIR}/completion/${form}/${name})
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/completion/${form})
    add_custom_command(OUTPUT ${file} COMMAND protolith completion ${form} > ${file}
                       DEPENDS protolith VERBATIM)
    list(APPEND printed_files ${file})
    install(FILES ${file} DESTINATION ${folder} COMPONENT runtime)
    if(form STREQUAL "zsh")  # all others' and Debian's in /usr/local
      install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT runtime)
    endif()
  endforeach()
  add_custom_target(protolith_completion ALL DEPENDS ${printed_files})
endif()

# The libraries, with headers under include/protolith by the names that the sources include.
set(headers ${CMAKE_INSTALL_INCLUDEDIR}/protolith)
foreach(library kernels_cpu engine models data)
  set_target_properties(protolith_${library} PROPERTIES EXPORT_NAME ${library})
  target_include_directories(protolith_${library} INTERFACE $<INSTALL_INTERFACE:${headers}>)
  target_compile_features(protolith_${library} INTERFACE cxx_std_20)
endforeach()
install(TARGETS protolith_kernels_cpu protolith_engine protolith_models protolith_data
        EXPORT ProtolithTargets ARCHIVE COMPONENT development)
foreach(folder kernels engine engine/ops models data)
  file(GLOB public CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.h)
  list(FILTER public EXCLUDE REGEX "/stb_image.h$")  # of the sources alone, as stb is
  install(FILES ${public} DESTINATION ${headers}/${folder} COMPONENT development)
endforeach()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/Protolith)
install(EXPORT ProtolithTargets NAMESPACE Protolith:: DESTINATION ${package} COMPONENT development)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/ProtolithConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/ProtolithConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/ProtolithConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/ProtolithConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/ProtolithConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/third_party/libraries.cmake
        DESTINATION ${package} COMPONENT development)
# Where it lies tells where the rest is: `cmake --install --prefix` and packages choose that later.
file(RELATIVE_PATH to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
file(RELATIVE_PATH to_libraries ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH to_headers ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
string(REGEX REPLACE "/$" "" to_prefix ${to_prefix})
configure_file(${CMAKE_CURRENT_LIST_DIR}/protolith.pc.in
               ${CMAKE_CURRENT_BINARY_DIR}/protolith.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/protolith.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/tools/examples
        DESTINATION ${CMAKE_INSTALL_DATADIR}/protolith COMPONENT development)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGE_CONTACT "The Protolith developers <protolith@localhost>")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME protolith)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS libopenblas0-openmp)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS gnuplot-nox)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
  "Few-shot image classification by prototypical networks\n\
 Trains and evaluates prototypical networks with squared Euclidean and leaky\n\
 squared Euclidean distances, and classifies images from a handful of examples.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME protolith-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "libfmt-dev, libdnnl-dev, libopenblas-openmp-dev, libhwy-dev, libarchive-dev")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
  "Protolith's libraries, for programs with few-shot classification in them\n\
 Tensors, automatic differentiation, the conv4 encoder, data sets.")
set(CPACK_STRIP_FILES ON)
# Whatever the umask is.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
    GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_LIST_DIR}/needed.cmake)
include(CPack)
