// A folder that is filled aside and then shown at once. Locked by its maker, so that collections leave it alone
// while it lives and remove it once its maker is dead.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "oci/image/store.h"

namespace proa::oci::image {

class Staging {
 public:
  // ROOT/`folder`/tmp-RANDOM
  static Result<Staging> make(const Store& store, const char* folder);
  Staging(Staging&& other) noexcept
      : store_(std::move(other.store_)), path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}
  Staging& operator=(Staging&&) = delete;
  ~Staging();  // removes what was not placed

  int fd() const { return fd_.get(); }
  Result<> write(const char* name, std::string_view text) const;
  // Moves it to ROOT/`path`. What is there already stays: an error if `must_be_new`, otherwise this one goes.
  Result<> place(const std::string& path, bool must_be_new);

 private:
  Staging(Store store, std::string path, Fd fd)
      : store_(std::move(store)), path_(std::move(path)), fd_(std::move(fd)) {}
  Store store_;
  std::string path_;  // from the root
  Fd fd_;
};

}  // namespace proa::oci::image
