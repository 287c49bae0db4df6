#include "jevons/workloads/graph.hpp"
