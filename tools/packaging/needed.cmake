# Read by cpack: without these it would make packages that name no libraries, or stop half-way.
foreach(program dpkg-shlibdeps file)
  find_program(found_${program} ${program})
  if(NOT found_${program})
    message(FATAL_ERROR "cpack needs ${program}: install the packages dpkg-dev and file")
  endif()
endforeach()
