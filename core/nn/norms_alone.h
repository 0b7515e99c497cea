#pragma once

#include "core/nn/parameter.h"
#include "core/nn/parameter_store.h"

namespace residua {

/// While this lives, training normalizes over the batch of this process alone, whatever synchronize_norms() says: for passes
/// that the other ranks do not make.
class NormsAlone {
 public:
  explicit NormsAlone(ParameterStore& store) : store_(store) {
    for (const RunningStatistics* layer : store.statistics()) {
      ranks_ = layer->ranks;  // the same for all
    }
    set(nullptr);
  }
  ~NormsAlone() { set(ranks_); }
  NormsAlone(const NormsAlone&) = delete;
  NormsAlone& operator=(const NormsAlone&) = delete;

 private:
  void set(Communicator* ranks) {
    for (RunningStatistics* layer : store_.statistics()) {
      layer->ranks = ranks;
    }
  }

  ParameterStore& store_;
  Communicator* ranks_ = nullptr;
};

}  // namespace residua
