// Topological order and critical path by Boost.Graph, which stays inside this file.
#include "jevons/workloads/graph.hpp"

#include "jevons/core/error.hpp"

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/depth_first_search.hpp>
#include <boost/graph/graphviz.hpp>

#include <algorithm>
#include <functional>
#include <queue>
#include <sstream>

namespace jevons::workloads {
namespace {

using Dag = boost::adjacency_list<boost::vecS, boost::vecS, boost::bidirectionalS>;

Dag dag_of(const OperatorGraph& graph) {
  const std::size_t n = graph.operators.size();
  Dag dag(n);
  for (const Edge& e : graph.edges) {
    if (e.from >= n || e.to >= n) {
      throw Error(ErrorKind::internal, "operator graph",
                  "edge " + std::to_string(e.from) + " -> " + std::to_string(e.to) +
                      " leaves a graph of " + std::to_string(n) + " operators");
    }
    boost::add_edge(e.from, e.to, dag);
  }
  return dag;
}

/// Remembers an operator that a back edge returns to.
struct CycleFinder : boost::default_dfs_visitor {
  explicit CycleFinder(std::size_t* found) : found_(found) {}
  void back_edge(Dag::edge_descriptor e, const Dag& dag) const { *found_ = target(e, dag); }
  std::size_t* found_;
};

[[noreturn]] void throw_cycle(const OperatorGraph& graph, const Dag& dag) {
  std::size_t on_cycle = 0;
  boost::depth_first_search(dag, boost::visitor(CycleFinder(&on_cycle)));
  throw Error(ErrorKind::internal, "operator graph",
              "operator '" + graph.operators[on_cycle].name + "' (" + std::to_string(on_cycle) +
                  ") waits for itself");
}

/// Kahn's algorithm with a queue ordered by index, so that the order does not depend on the edges'
/// order (boost::topological_sort breaks ties by depth-first visits).
std::vector<std::size_t> order_of(const OperatorGraph& graph, const Dag& dag) {
  const std::size_t n = graph.operators.size();
  std::vector<std::size_t> waiting(n), order;
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
  for (std::size_t v = 0; v < n; ++v) {
    waiting[v] = in_degree(v, dag);
    if (waiting[v] == 0) ready.push(v);
  }
  order.reserve(n);
  while (!ready.empty()) {
    const std::size_t v = ready.top();
    ready.pop();
    order.push_back(v);
    for (auto [e, end] = out_edges(v, dag); e != end; ++e) {
      if (--waiting[target(*e, dag)] == 0) ready.push(target(*e, dag));
    }
  }
  if (order.size() < n) throw_cycle(graph, dag);
  return order;
}

}  // namespace

std::size_t OperatorGraph::add(Operator op, std::span<const std::size_t> after) {
  const std::size_t index = operators.size();
  operators.push_back(std::move(op));
  for (const std::size_t from : after) edges.push_back({from, index});
  return index;
}

std::size_t OperatorGraph::add(Operator op, std::initializer_list<std::size_t> after) {
  return add(std::move(op), std::span<const std::size_t>(after.begin(), after.size()));
}

void append(OperatorGraph& head, OperatorGraph tail) {
  const std::size_t shift = head.operators.size();
  std::vector<bool> has_next(shift), has_previous(tail.operators.size());
  for (const Edge& e : head.edges) has_next[e.from] = true;
  for (const Edge& e : tail.edges) has_previous[e.to] = true;
  for (std::size_t to = 0; to < has_previous.size(); ++to) {
    if (has_previous[to]) continue;
    for (std::size_t from = 0; from < shift; ++from) {
      // Nothing waits for a weight gradient: it is no predecessor of the next part either.
      if (has_next[from] || head.operators[from].phase == Phase::weight_gradient) continue;
      head.edges.push_back({from, to + shift});
    }
  }
  for (Operator& op : tail.operators) head.operators.push_back(std::move(op));
  for (const Edge& e : tail.edges) head.edges.push_back({e.from + shift, e.to + shift});
}

std::vector<std::size_t> topological_order(const OperatorGraph& graph) {
  return order_of(graph, dag_of(graph));
}

CriticalPath critical_path(const OperatorGraph& graph, std::span<const double> duration) {
  const std::size_t n = graph.operators.size();
  if (duration.size() != n) {
    throw Error(
        ErrorKind::internal, "critical_path",
        std::to_string(duration.size()) + " durations for " + std::to_string(n) + " operators");
  }
  CriticalPath path;
  if (n == 0) return path;
  const Dag dag = dag_of(graph);
  std::vector<double> finish(n);
  std::vector<std::size_t> before(n, n);
  for (const std::size_t v : order_of(graph, dag)) {
    double start = 0;
    for (auto [e, end] = in_edges(v, dag); e != end; ++e) {
      const std::size_t from = source(*e, dag);
      if (before[v] == n || finish[from] > start) {
        start = finish[from];
        before[v] = from;
      }
    }
    finish[v] = start + duration[v];
  }
  auto last =
      static_cast<std::size_t>(std::max_element(finish.begin(), finish.end()) - finish.begin());
  path.length = finish[last];
  for (; last != n; last = before[last]) path.operators.push_back(last);
  std::reverse(path.operators.begin(), path.operators.end());
  return path;
}

std::string to_dot(const OperatorGraph& graph) {
  const Dag dag = dag_of(graph);
  const auto label = [&graph](std::ostream& out, std::size_t v) {
    const Operator& op = graph.operators[v];
    const Work w = work_of(op);
    std::ostringstream text;
    text << op.name << "\n" << kind_name(op.shape) << " " << to_string(op.format);
    if (w.flops > 0) text << "\n" << w.flops << " FLOP";
    text << "\n" << w.total_bytes() << " B";
    out << "[label=" << boost::escape_dot_string(text.str()) << "]";
  };
  std::ostringstream out;
  boost::write_graphviz(out, dag, label);
  return out.str();
}

}  // namespace jevons::workloads
