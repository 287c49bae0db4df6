// Which of the measured runs a test plays.
#pragma once

#include <cstddef>

namespace jevons::test {

// All cases; every tenth where sanitizers make each a hundred times slower.
#ifdef __SANITIZE_ADDRESS__
inline constexpr std::size_t kStride = 10;
#else
inline constexpr std::size_t kStride = 1;
#endif

}  // namespace jevons::test
