#include "jevons/sim/schedule.hpp"

#include "schedule_dualpipe.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace jevons::sim {
namespace {

Work work(long stage, long micro_batch, long lane = 0) {
  return {static_cast<std::uint16_t>(lane), static_cast<std::uint16_t>(stage),
          static_cast<std::uint32_t>(micro_batch)};
}

Program gpipe(long ranks, long n) {
  Program out{ranks, 1, ranks, n, {}};
  out.by_rank.resize(static_cast<std::size_t>(ranks));
  for (long rank = 0; rank < ranks; ++rank) {
    auto& slots = out.by_rank[static_cast<std::size_t>(rank)];
    for (long m = 0; m < n; ++m) {
      slots.push_back({Pass::forward, work(rank, m), {}});
    }
    for (long m = 0; m < n; ++m) {
      slots.push_back({Pass::backward, work(rank, m), {}});
    }
  }
  return out;
}

// Warm-up forwards, then one forward and one backward in turn, then the backwards that are left.
// `order(k)` is the k-th forward of a rank, `reverse(k)` its k-th backward.
template <class Order, class Reverse>
std::vector<Slot> one_in_one_out(long warm_up, long total, Order order, Reverse reverse) {
  std::vector<Slot> slots;
  slots.reserve(static_cast<std::size_t>(2 * total));
  warm_up = std::min(warm_up, total);
  for (long k = 0; k < warm_up; ++k) {
    slots.push_back({Pass::forward, order(k), {}});
  }
  for (long k = 0; k < total; ++k) {
    if (warm_up + k < total) {
      slots.push_back({Pass::forward, order(warm_up + k), {}});
    }
    slots.push_back({Pass::backward, reverse(k), {}});
  }
  return slots;
}

Program one_f_one_b(long ranks, long n) {
  Program out{ranks, 1, ranks, n, {}};
  for (long rank = 0; rank < ranks; ++rank) {
    const auto same = [&](long k) { return work(rank, k); };
    out.by_rank.push_back(one_in_one_out(ranks - 1 - rank, n, same, same));
  }
  return out;
}

// Micro-batches that go through one chunk before the rank turns to the next: the pipeline depth;
// a remainder that would not fill the pipeline joins the group before it (Megatron-Core's rule).
std::vector<std::pair<long, long>> groups(long ranks, long n) {
  std::vector<std::pair<long, long>> out;
  for (long at = 0; at < n; at += ranks) {
    out.emplace_back(at, std::min(at + ranks, n));
  }
  if (out.size() > 1 && n % ranks != 0) {
    out[out.size() - 2].second = n;
    out.pop_back();
  }
  return out;
}

Program interleaved(long ranks, long chunks, long n) {
  Program out{ranks, 1, ranks * chunks, n, {}};
  std::vector<std::pair<long, long>> table;  // chunk, micro-batch
  long first_group = 0, largest = 0;
  for (const auto& [begin, end] : groups(ranks, n)) {
    first_group = first_group == 0 ? end - begin : first_group;
    largest = std::max(largest, end - begin);
    for (long chunk = 0; chunk < chunks; ++chunk) {
      for (long m = begin; m < end; ++m) {
        table.emplace_back(chunk, m);
      }
    }
  }
  for (long rank = 0; rank < ranks; ++rank) {
    const auto order = [&](long k) {
      const auto& [chunk, m] = table[static_cast<std::size_t>(k)];
      return work(chunk * ranks + rank, m);
    };
    const auto reverse = [&](long k) {
      const auto& [chunk, m] = table[static_cast<std::size_t>(k)];
      return work((chunks - 1 - chunk) * ranks + rank, m);
    };
    const long warm_up = (ranks - 1 - rank) * 2 + (chunks - 1) * std::max(first_group, largest);
    out.by_rank.push_back(one_in_one_out(warm_up, n * chunks, order, reverse));
  }
  return out;
}

// 1F1B with the backward split; rank r puts a weight gradient off by r micro-batches, so that every
// rank holds as many activations as the first.
Program zb_h1(long ranks, long n) {
  Program out = one_f_one_b(ranks, n);
  for (long rank = 0; rank < ranks; ++rank) {
    auto& slots = out.by_rank[static_cast<std::size_t>(rank)];
    std::vector<Slot> split;
    split.reserve(slots.size() + static_cast<std::size_t>(n));
    long inputs = 0, weights = 0;
    for (const auto& slot : slots) {
      if (slot.pass == Pass::forward) {
        split.push_back(slot);
        continue;
      }
      split.push_back({Pass::backward_input, slot.work, {}});
      if (inputs++ >= rank) {
        split.push_back({Pass::backward_weight, work(rank, weights++), {}});
      }
    }
    while (weights < n) {
      split.push_back({Pass::backward_weight, work(rank, weights++), {}});
    }
    slots = std::move(split);
  }
  return out;
}

void check(Schedule schedule, long ranks, long chunks, long n) {
  const auto require = [](bool holds, const char* where, const std::string& what) {
    if (!holds) {
      throw bad_input(where, what);
    }
  };
  require(ranks >= 1 && ranks < 65536, "/parallelism/pp", "a pipeline has 1 to 65535 ranks");
  require(chunks >= 1 && ranks * chunks < 65536, "/parallelism/vpp",
          "a pipeline has 1 to 65535 stages");
  require(n >= 1, "/train/global_batch_sequences", "a step has at least one micro-batch");
  require(chunks == 1 || schedule == Schedule::interleaved, "/train/schedule",
          std::string(to_string(schedule)) + " has one chunk per rank; vpp " +
              std::to_string(chunks) + " needs the interleaved schedule");
  if (schedule == Schedule::dualpipe) {
    require(ranks % 2 == 0, "/parallelism/pp",
            "dualpipe needs an even number of ranks, not " + std::to_string(ranks));
    require(n % 2 == 0 && n >= 2 * ranks, "/train/global_batch_sequences",
            "dualpipe needs an even number of micro-batches, at least 2 pp = " +
                std::to_string(2 * ranks) + ", not " + std::to_string(n));
  }
}

}  // namespace

Program make_program(Schedule schedule, long ranks, long chunks, long micro_batches) {
  check(schedule, ranks, chunks, micro_batches);
  switch (schedule) {
    case Schedule::gpipe: return gpipe(ranks, micro_batches);
    case Schedule::one_f_one_b: return one_f_one_b(ranks, micro_batches);
    case Schedule::interleaved: return interleaved(ranks, chunks, micro_batches);
    case Schedule::zb_h1: return zb_h1(ranks, micro_batches);
    case Schedule::dualpipe: return dualpipe_program(ranks, micro_batches);
  }
  throw Error(ErrorKind::internal, "schedule", "unknown schedule");
}

double peak_in_flight(const Program& program, long rank) {
  const auto& slots = program.by_rank[static_cast<std::size_t>(rank)];
  long held = 0, peak = 0;
  for (const auto& slot : slots) {
    held += slot.pass == Pass::forward || slot.pass == Pass::pair ? 1 : 0;
    peak = std::max(peak, held);
    // A split backward keeps its inputs until the weight gradient has used them.
    held -= slot.pass == Pass::forward || slot.pass == Pass::backward_input ? 0 : 1;
  }
  return static_cast<double>(peak * program.ranks) / static_cast<double>(program.stages);
}

Seconds bubble_closed_form(Schedule schedule, long ranks, long chunks, const EvenTimes& times) {
  const auto& [f, b, w, pair] = times;
  const auto p = static_cast<double>(ranks);
  switch (schedule) {
    case Schedule::gpipe:
    case Schedule::one_f_one_b: return (p - 1) * (f + b);
    case Schedule::interleaved: return (p - 1) / static_cast<double>(chunks) * (f + b);
    case Schedule::zb_h1: return (p - 1) * (f + b - 2 * w);
    case Schedule::dualpipe: return (p / 2 - 1) * (pair + b - 3 * w);
  }
  throw Error(ErrorKind::internal, "schedule", "unknown schedule");
}

}  // namespace jevons::sim
