#pragma once

#include <cstdint>
#include <string>

namespace protolith {

/// How a folder of the user's own images (data kind `folder`) becomes a data set.
struct FolderOptions {
  std::int32_t image_size = 84;                ///< pixels of a side
  std::string image_mode = "rgb";              ///< "rgb" or "grey"
  std::string split_shares = "0.64,0.16,0.2";  ///< of the classes: train, val, test
  std::uint64_t split_seed = 1;                ///< which classes go where, by shares
  std::string split_lists;  ///< a folder of train.txt, val.txt, test.txt; empty: by shares
};

}  // namespace protolith
