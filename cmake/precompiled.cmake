# Every file that reads or writes JSON would parse the library anew (3 s each): once is enough.
# With GCC only, because clang-tidy runs on a tree that is configured and not built, and not under
# ccache, which does better alone.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/precompiled.cpp CONTENT "")
  add_library(jevons_precompiled OBJECT ${PROJECT_BINARY_DIR}/precompiled.cpp)
  target_link_libraries(jevons_precompiled PRIVATE jevons_warnings nlohmann_json::nlohmann_json)
  target_precompile_headers(jevons_precompiled PRIVATE <nlohmann/json.hpp>)
endif()

function(jevons_precompiled_json target)
  if(TARGET jevons_precompiled)
    target_precompile_headers(${target} REUSE_FROM jevons_precompiled)
    # GCC 12 forgets that what is inlined from the header is a system's, and warns about std::string.
    target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-stringop-overflow
                           -Wno-stringop-overread -Wno-restrict)
  endif()
endfunction()
