/* Memory: 64-byte aligned blocks that count their allocations, and a bounded free list of large
   blocks for results, because fresh pages cost about 1.5 us each. */
#ifndef SYMC_MEMORY_H
#define SYMC_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace symc {

inline constexpr std::size_t alignment = 64;

/* Allocates at least `bytes`; null when there is no memory. */
[[nodiscard]] void *allocate_aligned(std::size_t bytes) noexcept;
void free_aligned(void *memory) noexcept;

/* An owned 64-byte aligned block. */
class Memory {
public:
  Memory() = default;
  explicit Memory(std::size_t bytes) { reserve(bytes); }
  ~Memory() { free_aligned(data_); }
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;

  /* Makes room for `bytes`, losing the contents when it has to grow: true when it allocated.
     Throws Error(Memory). */
  bool reserve(std::size_t bytes);
  void release() noexcept;

  [[nodiscard]] void *data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
  void *data_ = nullptr;
  std::size_t size_ = 0;
};

/* Free blocks by size; at most `limit` bytes are kept.  Thread-safe. */
class BlockCache {
public:
  explicit BlockCache(std::size_t limit) : limit_(limit) {}
  ~BlockCache() { trim(); }
  BlockCache(const BlockCache &) = delete;
  BlockCache &operator=(const BlockCache &) = delete;

  /* The size of the block that holds `bytes`: what give and take must be told. */
  [[nodiscard]] static std::size_t rounded(std::size_t bytes) noexcept;
  [[nodiscard]] void *take(std::size_t rounded_bytes) noexcept;
  void give(void *block, std::size_t rounded_bytes) noexcept;
  /* Frees every kept block. */
  void trim() noexcept;
  [[nodiscard]] std::size_t kept() noexcept;

private:
  struct Block {
    void *memory;
    std::size_t bytes;
  };
  std::mutex mutex_;
  std::vector<Block> blocks_;
  std::size_t kept_ = 0;
  std::size_t limit_;
};

} // namespace symc

#endif
