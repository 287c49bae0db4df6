add_library(jevons_warnings INTERFACE)
target_compile_options(jevons_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wold-style-cast -Wnon-virtual-dtor)
# Clang 19 sees the deprecated std::get_temporary_buffer inside libstdc++ 12's own std::stable_sort.
target_compile_options(jevons_warnings INTERFACE
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>)
option(JEVONS_WERROR "Treat warnings as errors" ON)
if(JEVONS_WERROR)
  target_compile_options(jevons_warnings INTERFACE -Werror)
endif()
# GCC at -O1 makes sanitizer builds 3-12 times slower to compile than -O0: the asan preset uses -O0.
option(JEVONS_SANITIZE "Address and undefined-behaviour sanitizers" OFF)
if(JEVONS_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
# The coverage that libFuzzer follows must be in the libraries too.
if(JEVONS_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
