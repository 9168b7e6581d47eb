/* Asking the host, about every 10 ms, whether to stop (Python: pending signals).  Only a thread
   that may ask has an `ask`; the core knows nothing of what it does. */
#ifndef SYMC_POLL_H
#define SYMC_POLL_H

#include <chrono>

namespace symc {

class Poller {
public:
  using Ask = bool (*)(void *); /* true: stop */
  using Clock = std::chrono::steady_clock;

  Poller() = default;
  Poller(Ask ask, void *data) noexcept : ask_(ask), data_(data), last_(Clock::now()) {}

  [[nodiscard]] bool active() const noexcept { return ask_ != nullptr; }

  /* True when asked and told to stop, now or earlier. */
  [[nodiscard]] bool stop() {
    if (ask_ == nullptr || stopped_) {
      return stopped_;
    }
    const Clock::time_point now = Clock::now();
    if (now - last_ < interval) {
      return false;
    }
    stopped_ = ask_(data_);
    last_ = Clock::now();
    return stopped_;
  }

  static constexpr std::chrono::milliseconds interval{10};

private:
  Ask ask_ = nullptr;
  void *data_ = nullptr;
  Clock::time_point last_{};
  bool stopped_ = false;
};

} // namespace symc

#endif
