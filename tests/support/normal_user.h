#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

namespace residua::test {

/// Makes the process an ordinary user while this object exists: root may read what others may not.
class NormalUser {
 public:
  NormalUser() : was_(::geteuid()) {
    if (was_ == 0 && ::seteuid(kNobody) != 0) {
      was_ = kNobody;  // stays root
    }
  }
  ~NormalUser() {
    if (was_ == 0 && ::seteuid(0) != 0) {
      ADD_FAILURE() << "cannot become root again";
    }
  }
  NormalUser(const NormalUser&) = delete;
  NormalUser& operator=(const NormalUser&) = delete;

  /// False where the system does not let root become another user.
  static bool now() { return ::geteuid() != 0; }

 private:
  static constexpr uid_t kNobody = 65534;
  uid_t was_;
};

}  // namespace residua::test
