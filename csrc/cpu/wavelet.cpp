// Haar shrinkage of whole images: the copy for this processor, strips dealt to threads.
#include "cpu/wavelet.h"

#include "cpu/calibration.h"
#include "cpu/thread_pool.h"
#include "cpu/variant.h"

namespace ugodit {

void shrink_wavelets(std::int64_t items, std::int64_t rows, std::int64_t columns, std::int64_t levels,
                     std::int64_t above, std::int64_t left, std::int64_t threads, const Array& image,
                     const Array& weights, const Array& result) {
    constexpr int kMostLevels = 12;
    checked_size("items", items);
    ShrinkCall call{};
    call.rows = checked_size("rows", rows);
    call.columns = checked_size("columns", columns);
    call.levels = checked_size("levels", levels, 0, kMostLevels);
    call.above = checked_size("above", above, 0, call.block() - 1);
    call.left = checked_size("left", left, 0, call.block() - 1);
    const std::int64_t images = checked_product("values of the images", {items, 2, rows, columns}, kMostValues);
    // What a strip needs, and how many there are.
    checked_product("values of a row of blocks", {8, call.block(), columns + 2 * call.block()});
    checked_product("rows of all items", {items, rows + 2 * call.block()});
    call.image = values("image", image, images);
    call.weights = values("weights", weights, items);
    call.result = values("result", result, images);
    const ShrinkStrip strip = UGODIT_SELECTED(shrink_strip)();
    const int strips = call.strips();
    parallel_for(static_cast<int>(items) * strips, checked_threads(threads), [&](int index) {
        strip(call, index / strips, index % strips, thread_scratch(call.scratch_floats()));
    });
}

}  // namespace ugodit
