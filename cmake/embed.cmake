# Writes a .cpp that holds the data files as string literals.
# cmake -DOUT=… -DFUNCTION=… -DHEADER=… -DROOT=… -DFILES=a;b -P embed.cmake
set(declarations "")
set(table "")
set(index 0)
foreach(file IN LISTS FILES)
  file(READ "${ROOT}/${file}" text)
  string(LENGTH "${text}" size)
  set(pieces "")
  set(at 0)
  # Compilers limit one literal to 64 KiB; adjacent literals are joined.
  while(at LESS size)
    string(SUBSTRING "${text}" ${at} 12000 piece)
    # Break behind a newline, so that no UTF-8 sequence is cut.
    string(LENGTH "${piece}" taken)
    if(taken EQUAL 12000)
      string(FIND "${piece}" "\n" last REVERSE)
      if(last GREATER 0)
        math(EXPR taken "${last} + 1")
        string(SUBSTRING "${piece}" 0 ${taken} piece)
      endif()
    endif()
    string(APPEND pieces "R\"~~~(${piece})~~~\"\n")
    math(EXPR at "${at} + ${taken}")
  endwhile()
  if(size EQUAL 0)
    set(pieces "\"\"")
  endif()
  string(APPEND declarations "constexpr std::string_view kFile${index} = ${pieces};\n")
  string(APPEND table "    {\"${file}\", kFile${index}},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE "${OUT}.tmp" "// Made by cmake/embed.cmake from ${ROOT}; do not edit.
#include \"${HEADER}\"

#include <array>

namespace {
${declarations}
constexpr std::array<jevons::EmbeddedFile, ${index}> kFiles{{
${table}}};
}  // namespace

std::span<const jevons::EmbeddedFile> ${FUNCTION}() { return kFiles; }
")
file(COPY_FILE "${OUT}.tmp" "${OUT}" ONLY_IF_DIFFERENT)
