/* Releasing the GIL around native work, and asking Python about signals from inside it. */
#ifndef SYMC_GIL_H
#define SYMC_GIL_H

#include <cxxabi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "numpy_api.h"
#include "poll.h"

namespace symc::python {

/* PyEval_RestoreThread for any thread.  When the interpreter ends meanwhile, Python before 3.14
   ends daemon threads by unwinding their stacks, without the GIL; as 3.14 does, such a thread stays
   here. */
inline void take_gil(PyThreadState *state) noexcept {
  try {
    PyEval_RestoreThread(state);
  } catch (const abi::__forced_unwind &) {
    for (;;) {
      pause();
    }
  }
}

/* The GIL is released from construction to destruction. */
class Unlocked {
public:
  Unlocked() noexcept : state_(PyEval_SaveThread()) {}
  ~Unlocked() { take_gil(state_); }
  Unlocked(const Unlocked &) = delete;
  Unlocked &operator=(const Unlocked &) = delete;

  /* A poller that runs pending signal handlers: only the main thread may, others never stop. */
  [[nodiscard]] Poller poller() noexcept {
    return syscall(SYS_gettid) == getpid() ? Poller(check_signals, this) : Poller();
  }

private:
  /* True when a handler raised; the error stays set in this thread's state. */
  static bool check_signals(void *self) noexcept {
    auto *gil = static_cast<Unlocked *>(self);
    take_gil(gil->state_);
    const bool raised = PyErr_CheckSignals() != 0;
    gil->state_ = PyEval_SaveThread();
    return raised;
  }

  PyThreadState *state_;
};

} // namespace symc::python

#endif
