// Training beside the CPU backend: checks that hold for the CUDA backend on an emulated device as
// on a real one.
#pragma once

#include "tools/learner.h"

namespace protolith::test {

/// A small workload: episodes of 5 classes, 15 images of 12x12 (then 6, 3 and 1: even and odd).
inline constexpr EpisodeShape kSmallEpisode{5, 1, 2};
/// Classes that are random patterns, an eighth of whose pixels is drawn anew in each image.
const Dataset& patterns();
Config small_config(const std::string& metric = "lsed");
EpisodeSampler small_episodes();

/// All that a training step changes, but for the running statistics, as numbers.
std::vector<std::vector<double>> trained_numbers(Backend& backend, Learner& learner);

/// Each of `steps` episodes starts from the CPU's parameters and moments: loss, accuracy and every
/// gradient must agree, and the update must be Adam's.
void check_parity(Backend& device, std::uint64_t steps);

/// Trains `steps` episodes with an evaluation between; all that comes out of it, to be compared bit
/// for bit with another way of running it.
std::vector<std::vector<double>> train_with_evaluation(Backend& device, std::uint64_t steps);

/// A second step from the same state has the same gradients: nothing of the first one is left.
void check_fresh_gradients(Backend& device);

/// `steps` episodes in a row make the loss fall and stay finite.
void check_learning(Backend& device, std::uint64_t steps);

/// A loss that is not finite ends the collection and stops the optimizer on the device.
void check_stopping(Backend& device);

}  // namespace protolith::test
