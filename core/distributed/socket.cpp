#include "core/distributed/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace residua {
namespace {

using Clock = std::chrono::steady_clock;

int check(int result, const char* call) {
  if (result < 0) {
    fail("{} failed: {}", call, std::strerror(errno));
  }
  return result;
}

/// Repeats a call that a signal has interrupted.
template <class Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) {
    result = call();
  }
  return result;
}

int wait_milliseconds(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1000));
}

/// Waits for an event of poll(). Returns false if it does not come.
bool wait_for(int fd, short events, Deadline deadline) {
  for (;;) {
    pollfd watched{.fd = fd, .events = events, .revents = 0};
    if (check(uninterrupted([&] { return ::poll(&watched, 1, wait_milliseconds(deadline)); }), "poll") > 0) {
      return true;
    }
    if (Clock::now() >= deadline) {
      return false;
    }
  }
}

void set_option(int fd, int level, int option, int value) {
  check(::setsockopt(fd, level, option, &value, sizeof value), "setsockopt");
}

/// A peer whose machine has gone without a word is noticed after half a minute.
void prepare(int fd) {
  check(::fcntl(fd, F_SETFL, O_NONBLOCK), "fcntl");
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

/// The addresses of a name; none if the name is unknown, and then `why` says so.
Addresses resolve(const std::string& name, int64_t port, int flags, std::string& why) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(name.c_str(), std::to_string(port).c_str(), &wanted, &found); error != 0) {
    why = fmt::format("the name {} is unknown: {}", name, ::gai_strerror(error));
    found = nullptr;
  }
  return {found, &::freeaddrinfo};
}

int make_socket(int family) { return ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0); }

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.0.0.");
}

/// Waits at an address. Returns the error of bind() and listen().
int try_to_listen(int fd, const sockaddr* address, socklen_t size) {
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  check(::fcntl(fd, F_SETFL, O_NONBLOCK), "fcntl");
  return ::bind(fd, address, size) < 0 || ::listen(fd, SOMAXCONN) < 0 ? errno : 0;
}

}  // namespace

Deadline deadline_in(double seconds) {
  constexpr double kLongest = 1e9;  // a clock counts nanoseconds in 64 bits
  return seconds <= 0 || seconds > kLongest
             ? Deadline::max()
             : Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

Socket::~Socket() { close(); }
Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

void Socket::close() {
  if (fd_ >= 0) {
    ::close(std::exchange(fd_, -1));  // Linux closes even where it reports an error
  }
}

void Socket::shut_down() const { static_cast<void>(::shutdown(fd_, SHUT_RDWR)); }

Socket Socket::listen(const std::string& address, int64_t port) {
  Socket socket;
  int error = 0;
  if (is_loopback(address)) {
    std::string why;
    const Addresses found = resolve(address == "localhost" ? "127.0.0.1" : address, port, AI_NUMERICHOST, why);
    if (found == nullptr) {
      fail("cannot listen at {}: {}", address, why);
    }
    socket = Socket(check(make_socket(found->ai_family), "socket"));
    error = try_to_listen(socket.fd_, found->ai_addr, found->ai_addrlen);
  } else if (const int both = make_socket(AF_INET6); both >= 0) {
    socket = Socket(both);
    set_option(both, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(static_cast<uint16_t>(port));
    error = try_to_listen(both, reinterpret_cast<const sockaddr*>(&any), sizeof any);
  }
  if (!socket.open() || error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {  // a machine without IPv6
    socket = Socket(check(make_socket(AF_INET), "socket"));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(static_cast<uint16_t>(port));
    error = try_to_listen(socket.fd_, reinterpret_cast<const sockaddr*>(&any), sizeof any);
  }
  if (error != 0) {
    fail_usage("rank 0 cannot listen at port {}: {}; choose another MASTER_PORT (one less than a free port)", port,
               std::strerror(error));
  }
  return socket;
}

Socket Socket::accept() const {
  const int fd = uninterrupted([&] { return ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC); });
  if (fd < 0) {
    // Also connections that have gone before they were taken.
    if (errno == EAGAIN || errno == ECONNABORTED || errno == EPROTO || errno == ENETDOWN || errno == EHOSTUNREACH) {
      return {};
    }
    check(fd, "accept");
  }
  Socket socket(fd);
  prepare(fd);
  return socket;
}

Socket Socket::connect(const std::string& address, int64_t port, Deadline deadline, std::string& why) {
  const Addresses all = resolve(address, port, 0, why);
  for (const addrinfo* at = all.get(); at != nullptr; at = at->ai_next) {
    Socket socket(make_socket(at->ai_family));
    if (!socket.open()) {
      why = fmt::format("socket failed: {}", std::strerror(errno));
      continue;
    }
    prepare(socket.fd_);
    int error = ::connect(socket.fd_, at->ai_addr, at->ai_addrlen) < 0 ? errno : 0;
    if (error == EINPROGRESS || error == EINTR) {
      socklen_t size = sizeof error;
      error = ETIMEDOUT;
      if (wait_for(socket.fd_, POLLOUT, deadline)) {
        check(::getsockopt(socket.fd_, SOL_SOCKET, SO_ERROR, &error, &size), "getsockopt");
      }
    }
    if (error == 0) {
      return socket;
    }
    why = fmt::format("connect failed: {}", std::strerror(error));
  }
  return {};
}

void Socket::send(std::string_view bytes, Deadline deadline) const {
  while (!bytes.empty()) {
    const ssize_t sent = uninterrupted([&] { return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); });
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno != EAGAIN) {
      throw ConnectionLost(fmt::format("send failed: {}", std::strerror(errno)));
    } else if (!wait_for(fd_, POLLOUT, deadline)) {
      fail("send failed: nothing is taken at the other end");
    }
  }
}

void Socket::receive(std::string& bytes, size_t most) const {
  std::array<char, size_t{1} << 16> part;
  const ssize_t got = uninterrupted([&] { return ::recv(fd_, part.data(), std::min(most, part.size()), 0); });
  if (got > 0) {
    bytes.append(part.data(), static_cast<size_t>(got));
  } else if (got == 0) {
    throw ConnectionLost("the connection was closed");
  } else if (errno != EAGAIN) {
    throw ConnectionLost(fmt::format("recv failed: {}", std::strerror(errno)));
  }
}

bool Socket::wait_for_input(Deadline deadline) const { return wait_for(fd_, POLLIN, deadline); }

std::string Socket::peer() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size) < 0 ||
      ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "an unknown address";
  }
  return fmt::format("{}:{}", host.data(), port.data());
}

int64_t Socket::port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  check(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace residua
