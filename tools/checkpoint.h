#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "models/conv4.h"
#include "tools/checkpoint_metadata.h"
#include "tools/learner.h"

namespace protolith {

/// A model from a file.
struct Checkpoint {
  CheckpointInfo info;
  std::unique_ptr<Conv4> model;
  bool bare = false;  ///< no metadata: the tensors' shapes say all that is known
};

/// Writes the model alone: PyTorch's keys and layout, the info as metadata. Atomic.
void save_model(const std::filesystem::path& path, const Conv4& model, const CheckpointInfo& info);
/// Whether the file can be read and holds this model's tensors, bit for bit.
bool holds_model(const std::filesystem::path& path, const Conv4& model);
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
