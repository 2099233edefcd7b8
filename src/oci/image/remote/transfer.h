// What a pull and a push share: the store and the registry's repository that it is between, what is protected
// meanwhile, and who watches.
#pragma once

#include <utility>

#include "oci/image/images.h"
#include "oci/image/remote/progress.h"
#include "oci/image/remote/session.h"

namespace proa::oci::image::remote {

class Transfer {
 public:
  Transfer(Remote& remote, const Images& images, Repository there, Lease lease, Progress* progress)
      : remote_(remote),
        images_(images),
        store_(images.store()),
        there_(std::move(there)),
        lease_(std::move(lease)),
        progress_(progress) {}

 protected:
  template <typename T>
  T wait(net::Task<T> task) const {
    return remote_.loops().wait(std::move(task));
  }
  void tell(const Descriptor& blob, Step step, uint64_t done, std::string_view note = {}) const {
    if (progress_ != nullptr) progress_->blob(blob, step, done, note);
  }

  Remote& remote_;
  const Images& images_;
  const Store& store_;
  Repository there_;
  Lease lease_;
  Progress* progress_;
};

}  // namespace proa::oci::image::remote
