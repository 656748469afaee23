#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "models/conv4.h"
#include "models/metric.h"
#include "tools/learner.h"

namespace protolith {

/// What a checkpoint says of itself besides the weights: enough to classify with it.
struct CheckpointInfo {
  Conv4Options encoder;
  Metric metric;
  DistanceMethod distance = DistanceMethod::gemm;
  std::string preprocessing;  ///< of the images it was trained on
};

/// A model from a file.
struct Checkpoint {
  CheckpointInfo info;
  std::unique_ptr<Conv4> model;
};

/// Where a training run stands. Files hold it exactly, so that a resumed run repeats the same bits.
struct TrainingState {
  std::int64_t episodes = 0;  ///< finished
  std::int64_t epoch = 0;     ///< finished and validated
  std::int64_t best_epoch = 0;
  double best_loss = 0;  ///< of validation; meaningful from best_epoch 1 on
  double best_accuracy = 0;
  double last_loss = 0;  ///< of validation, at `epoch`
  double last_accuracy = 0;
  double loss_sum = 0;      ///< over the current epoch's episodes
  double accuracy_sum = 0;  ///< likewise
  std::string identity;     ///< what must be equal for a resume, one "key = value" a line
  std::string machine;      ///< threads and instruction set: equal for equal bits
  friend bool operator==(const TrainingState&, const TrainingState&) = default;
};

/// Writes the model alone: PyTorch's keys and layout, the info as metadata. Atomic.
void save_model(const std::filesystem::path& path, const Conv4& model, const CheckpointInfo& info);
/// Reads a file of save_model() or save_training(), or a bare PyTorch state dictionary of conv4
/// (its metric is then SED, and the last pool is taken to be there). Throws Error naming the file.
Checkpoint load_model(Backend& backend, const std::filesystem::path& path);

/// Writes the model, the optimizer and the state. Atomic.
void save_training(const std::filesystem::path& path, Learner& learner, Backend& backend,
                   const CheckpointInfo& info, const TrainingState& state);
/// Restores them into `learner`. Throws Error naming the file when it holds no training state or
/// another architecture.
TrainingState load_training(const std::filesystem::path& path, Learner& learner, Backend& backend,
                            const CheckpointInfo& info);
/// The state alone.
TrainingState read_training_state(const std::filesystem::path& path);

}  // namespace protolith
