// The texts that a checkpoint carries beside its tensors.
#pragma once

#include <cstdint>
#include <string>

#include "models/conv4.h"
#include "models/metric.h"

namespace protolith {

/// What a checkpoint says of itself besides the weights: enough to classify with it.
struct CheckpointInfo {
  Conv4Options encoder;
  Metric metric;
  DistanceMethod distance = DistanceMethod::gemm;
  std::string preprocessing;  ///< of the images it was trained on
};

/// Where a training run stands. Files hold it exactly, so that a resumed run repeats the same bits.
struct TrainingState {
  std::int64_t episodes = 0;  ///< finished
  std::int64_t epoch = 0;     ///< finished and validated
  std::int64_t best_epoch = 0;
  double best_loss = 0;  ///< of validation; meaningful from best_epoch 1 on
  double best_accuracy = 0;
  double loss_sum = 0;      ///< over the current epoch's episodes
  double accuracy_sum = 0;  ///< likewise
  std::string identity;     ///< what must be equal for a resume, one "key = value" a line
  std::string machine;      ///< threads and instruction set; equal for equal bits from one build
  friend bool operator==(const TrainingState&, const TrainingState&) = default;
};

/// As JSON, for the file's metadata.
std::string info_text(const CheckpointInfo& info);
std::string state_text(const TrainingState& state);

/// What the two above wrote. Throw std::exception, which need not name the file, when the text is
/// larger than 1 MiB, no such JSON, or holds values that cannot be.
CheckpointInfo parse_info(const std::string& text);
TrainingState parse_state(const std::string& text);

}  // namespace protolith
