/* Aligned memory and the free list of result blocks. */
#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string>

#include "error.h"

namespace symc {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t max_blocks = 64;

} // namespace

void *allocate_aligned(std::size_t bytes) noexcept {
  constexpr std::size_t most = static_cast<std::size_t>(PTRDIFF_MAX) - huge_page;
  if (bytes > most) {
    return nullptr;
  }
  const std::size_t align = bytes >= 2 * huge_page ? huge_page : alignment;
  const std::size_t whole = (std::max(bytes, std::size_t{1}) + align - 1) / align * align;
  void *memory = std::aligned_alloc(align, whole);
  if (memory != nullptr && align == huge_page) {
    (void)madvise(memory, whole, MADV_HUGEPAGE); /* an optimisation: refusal is fine */
  }
  return memory;
}

void free_aligned(void *memory) noexcept { std::free(memory); }

bool Memory::reserve(std::size_t bytes) {
  if (data_ != nullptr && bytes <= size_) {
    return false;
  }
  release();
  data_ = allocate_aligned(bytes);
  if (data_ == nullptr) {
    throw Error(ErrorKind::Memory, "cannot allocate " + std::to_string(bytes) + " bytes");
  }
  size_ = bytes;
  return true;
}

void Memory::release() noexcept {
  free_aligned(data_);
  data_ = nullptr;
  size_ = 0;
}

std::size_t BlockCache::rounded(std::size_t bytes) noexcept {
  /* Eight sizes per power of two: at most an eighth is wasted. */
  const std::size_t step = std::max(std::bit_floor(bytes) / 8, alignment);
  return (bytes + step - 1) / step * step;
}

void *BlockCache::take(std::size_t rounded_bytes) noexcept {
  {
    const std::scoped_lock lock(mutex_);
    const auto match = [&](const Block &b) { return b.bytes == rounded_bytes; };
    const auto found = std::ranges::find_if(blocks_, match);
    if (found != blocks_.end()) {
      void *memory = found->memory;
      *found = blocks_.back();
      blocks_.pop_back();
      kept_ -= rounded_bytes;
      return memory;
    }
  }
  return allocate_aligned(rounded_bytes);
}

void BlockCache::give(void *block, std::size_t rounded_bytes) noexcept {
  {
    const std::scoped_lock lock(mutex_);
    if (blocks_.capacity() == 0) {
      try {
        blocks_.reserve(max_blocks);
      } catch (const std::bad_alloc &) {
        blocks_.shrink_to_fit();
      }
    }
    if (blocks_.size() < blocks_.capacity() && kept_ + rounded_bytes <= limit_) {
      blocks_.push_back({block, rounded_bytes});
      kept_ += rounded_bytes;
      return;
    }
  }
  free_aligned(block);
}

void BlockCache::trim() noexcept {
  const std::scoped_lock lock(mutex_);
  for (const Block &b : blocks_) {
    free_aligned(b.memory);
  }
  blocks_.clear();
  kept_ = 0;
}

std::size_t BlockCache::kept() noexcept {
  const std::scoped_lock lock(mutex_);
  return kept_;
}

} // namespace symc
