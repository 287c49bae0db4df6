# jevons_module(NAME DEPENDS … SOURCES …): one static library whose headers only its users can see,
# so that an include against the direction cli → reports → sim → {workloads, hwmodels} → core does
# not compile.
function(jevons_module name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/*.cpp)
  add_library(jevons_${name} STATIC ${sources})
  add_library(jevons::${name} ALIAS jevons_${name})
  set_target_properties(jevons_${name} PROPERTIES EXPORT_NAME ${name})
  file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/include/jevons/${name}/*.hpp)
  target_sources(jevons_${name} PUBLIC FILE_SET HEADERS BASE_DIRS include FILES ${headers})
  target_link_libraries(jevons_${name} PUBLIC ${ARG_DEPENDS} PRIVATE $<BUILD_INTERFACE:jevons_warnings> ${ARG_PRIVATE_DEPENDS})
  install(TARGETS jevons_${name} EXPORT jevonsTargets FILE_SET HEADERS)
endfunction()

# jevons_embed(MODULE FUNCTION data-folder patterns…): compiles data files into a module. The module's
# embedded.hpp declares FUNCTION.
function(jevons_embed module function root)
  set(patterns "")
  foreach(pattern IN LISTS ARGN)
    list(APPEND patterns ${root}/${pattern})
  endforeach()
  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${root} ${patterns})
  list(SORT files)
  set(paths ${files})
  list(TRANSFORM paths PREPEND ${root}/)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${module}_${function}.cpp)
  string(REPLACE ";" "$<SEMICOLON>" joined "${files}")
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DFUNCTION=jevons::${module}::${function}
            -DHEADER=jevons/${module}/embedded.hpp -DROOT=${root} "-DFILES=${joined}"
            -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${paths} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    COMMENT "Embedding data of ${module}"
    VERBATIM)
  # Both compilers take long literals; the standard promises 64 KiB only.
  set_source_files_properties(${out} PROPERTIES COMPILE_OPTIONS -Wno-overlength-strings)
  target_sources(jevons_${module} PRIVATE ${out})
endfunction()
