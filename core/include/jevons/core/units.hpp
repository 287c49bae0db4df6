// Strong unit types: one double with its dimension in the type. Mixing bytes with seconds does not
// compile. Dimensions: time, data, work (FLOP), energy, money, tokens. A dimensionless product
// decays to double. `.raw()` is the only way out, in SI base units (s, B, FLOP, J, USD, token).
#pragma once

#include <compare>

namespace jevons {

struct Dim {
  int time = 0, data = 0, work = 0, energy = 0, money = 0, tokens = 0;
  friend constexpr bool operator==(const Dim&, const Dim&) = default;
  friend constexpr Dim operator+(Dim a, Dim b) {
    return {a.time + b.time,     a.data + b.data,   a.work + b.work,
            a.energy + b.energy, a.money + b.money, a.tokens + b.tokens};
  }
  friend constexpr Dim operator-(Dim a, Dim b) {
    return {a.time - b.time,     a.data - b.data,   a.work - b.work,
            a.energy - b.energy, a.money - b.money, a.tokens - b.tokens};
  }
};

template <Dim D>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(double value) : value_(value) {}
  [[nodiscard]] constexpr double raw() const { return value_; }

  constexpr Quantity& operator+=(Quantity b) {
    value_ += b.value_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity b) {
    value_ -= b.value_;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value_ + b.value_);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value_ - b.value_);
  }
  friend constexpr Quantity operator*(Quantity a, double s) { return Quantity(a.value_ * s); }
  friend constexpr Quantity operator*(double s, Quantity a) { return Quantity(a.value_ * s); }
  friend constexpr Quantity operator/(Quantity a, double s) { return Quantity(a.value_ / s); }
  // Both operators by hand: with a defaulted <=> alone GCC 12 compiles std::max to branches.
  friend constexpr bool operator<(Quantity a, Quantity b) { return a.value_ < b.value_; }
  friend constexpr auto operator<=>(Quantity a, Quantity b) = default;

 private:
  double value_ = 0.0;
};

namespace detail {
template <Dim D>
constexpr auto make(double value) {
  if constexpr (D == Dim{}) {
    return value;
  } else {
    return Quantity<D>(value);
  }
}
}  // namespace detail

template <Dim A, Dim B>
constexpr auto operator*(Quantity<A> a, Quantity<B> b) {
  return detail::make<A + B>(a.raw() * b.raw());
}
template <Dim A, Dim B>
constexpr auto operator/(Quantity<A> a, Quantity<B> b) {
  return detail::make<A - B>(a.raw() / b.raw());
}
template <Dim A>
constexpr auto operator/(double a, Quantity<A> b) {
  return detail::make<Dim{} - A>(a / b.raw());
}

using Seconds = Quantity<Dim{.time = 1}>;
using Bytes = Quantity<Dim{.data = 1}>;
using Flops = Quantity<Dim{.work = 1}>;
using Joules = Quantity<Dim{.energy = 1}>;
using Usd = Quantity<Dim{.money = 1}>;
using Tokens = Quantity<Dim{.tokens = 1}>;
using Watts = Quantity<Dim{.time = -1, .energy = 1}>;
using FlopRate = Quantity<Dim{.time = -1, .work = 1}>;
using Bandwidth = Quantity<Dim{.time = -1, .data = 1}>;
using TokenRate = Quantity<Dim{.time = -1, .tokens = 1}>;
using UsdRate = Quantity<Dim{.time = -1, .money = 1}>;

// "Tokens per second per watt" is tokens per joule.
using TokensPerJoule = Quantity<Dim{.energy = -1, .tokens = 1}>;
static_assert(Dim{.time = -1, .tokens = 1} - Dim{.time = -1, .energy = 1} ==
              Dim{.energy = -1, .tokens = 1});

inline constexpr double kSecondsPerHour = 3600.0;

[[nodiscard]] constexpr Seconds microseconds(double us) {
  return Seconds(us * 1e-6);
}
[[nodiscard]] constexpr UsdRate usd_per_hour(double usd) {
  return UsdRate(usd / kSecondsPerHour);
}

}  // namespace jevons
