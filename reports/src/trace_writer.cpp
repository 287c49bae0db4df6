#include "jevons/reports/trace_writer.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <tuple>

namespace jevons::reports {
namespace {

long long nanoseconds(double seconds) {
  return std::llround(seconds * 1e9);
}

void append_escaped(std::string& out, const std::string& text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", byte);
      out += buffer;
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_number(std::string& out, double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.9g", std::isfinite(value) ? value : 0.0);
  out += buffer;
}

// Microseconds with three decimals: whole nanoseconds without rounding.
void append_time(std::string& out, const char* key, long long ns) {
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, ",\"%s\":%lld.%03lld", key, ns / 1000, ns % 1000);
  out += buffer;
}

void append_place(std::string& out, std::uint32_t process, std::uint32_t track) {
  out += ",\"pid\":" + std::to_string(process) + ",\"tid\":" + std::to_string(track + 1);
}

/// An event that is written, with what orders it.
struct Event {
  long long time = 0;
  int rank = 0;  ///< at one time: slices, then flows, then counters
  std::size_t index = 0;
  std::size_t part = 0;
};

class Writer {
 public:
  explicit Writer(const sim::Trace& trace) : trace_(trace) {}

  std::string write() {
    out_ = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
    names();
    for (const auto& event : order()) {
      switch (event.rank) {
        case 0: slice(trace_.slices[event.index]); break;
        case 1: flow(event.index, event.part == 1); break;
        default: counter(trace_.counters[event.index], event.part); break;
      }
    }
    out_ += "\n]}\n";
    return std::move(out_);
  }

 private:
  void open(char phase) {
    out_ += first_ ? "\n{\"ph\":\"" : ",\n{\"ph\":\"";
    first_ = false;
    out_ += phase;
    out_ += '"';
  }

  void metadata(const char* what, std::uint32_t process, std::uint32_t track,
                const std::string& name) {
    open('M');
    append_place(out_, process, track);
    out_ += ",\"name\":\"" + std::string(what) + "\",\"args\":{\"name\":";
    append_escaped(out_, name);
    out_ += "}}";
  }

  void names() {
    for (std::uint32_t p = 0; p < trace_.processes.size(); ++p) {
      metadata("process_name", p, 0, trace_.processes[p].name);
      for (std::uint32_t t = 0; t < trace_.processes[p].tracks.size(); ++t) {
        metadata("thread_name", p, t, trace_.processes[p].tracks[t]);
      }
    }
  }

  std::vector<Event> order() const {
    std::vector<Event> events;
    std::set<std::tuple<std::uint32_t, std::uint32_t, long long>> starts;  // of written slices
    for (std::size_t i = 0; i < trace_.slices.size(); ++i) {
      const auto& slice = trace_.slices[i];
      if (nanoseconds(slice.end_s) > nanoseconds(slice.start_s)) {
        events.push_back({nanoseconds(slice.start_s), 0, i, 0});
        starts.emplace(slice.process, slice.track, nanoseconds(slice.start_s));
      }
    }
    for (std::size_t i = 0; i < trace_.flows.size(); ++i) {
      const auto& flow = trace_.flows[i];
      const auto from = nanoseconds(flow.from_s), to = nanoseconds(flow.to_s);
      if (starts.count({flow.from_process, flow.from_track, from}) != 0 &&
          starts.count({flow.to_process, flow.to_track, to}) != 0) {
        events.push_back({from, 1, i, 0});
        events.push_back({to, 1, i, 1});
      }
    }
    for (std::size_t i = 0; i < trace_.counters.size(); ++i) {
      for (std::size_t j = 0; j < trace_.counters[i].samples.size(); ++j) {
        events.push_back({nanoseconds(trace_.counters[i].samples[j].time_s), 2, i, j});
      }
    }
    std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
      return std::tie(a.time, a.rank, a.index, a.part) < std::tie(b.time, b.rank, b.index, b.part);
    });
    return events;
  }

  void slice(const sim::Trace::Slice& slice) {
    const auto start = nanoseconds(slice.start_s);
    open('X');
    append_place(out_, slice.process, slice.track);
    append_time(out_, "ts", start);
    append_time(out_, "dur", nanoseconds(slice.end_s) - start);
    out_ += ",\"name\":";
    append_escaped(out_, slice.name);
    out_ += ",\"cat\":";
    append_escaped(out_, slice.category);
    out_ += ",\"args\":{";
    for (std::size_t i = 0; i < slice.arguments.size(); ++i) {
      out_ += i == 0 ? "" : ",";
      append_escaped(out_, slice.arguments[i].name);
      out_ += ':';
      append_number(out_, slice.arguments[i].value);
    }
    out_ += "}}";
  }

  void flow(std::size_t index, bool end) {
    const auto& flow = trace_.flows[index];
    open(end ? 'f' : 's');
    append_place(out_, end ? flow.to_process : flow.from_process,
                 end ? flow.to_track : flow.from_track);
    append_time(out_, "ts", nanoseconds(end ? flow.to_s : flow.from_s));
    out_ += end ? ",\"bp\":\"e\"" : "";
    out_ += ",\"cat\":\"flow\",\"id\":" + std::to_string(index + 1) + ",\"name\":";
    append_escaped(out_, flow.name);
    out_ += '}';
  }

  void counter(const sim::Trace::Counter& counter, std::size_t part) {
    open('C');
    append_place(out_, counter.process, 0);
    append_time(out_, "ts", nanoseconds(counter.samples[part].time_s));
    out_ += ",\"name\":";
    append_escaped(out_, counter.name);
    out_ += ",\"args\":{\"value\":";
    append_number(out_, counter.samples[part].value);
    out_ += "}}";
  }

  const sim::Trace& trace_;
  std::string out_;
  bool first_ = true;
};

}  // namespace

std::string trace_to_json(const sim::Trace& trace) {
  return Writer(trace).write();
}

}  // namespace jevons::reports
