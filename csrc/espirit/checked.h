// Arguments of ESPIRiT from sizes that may be anything; host only.
#pragma once

#include "espirit/arguments.h"
#include "sizes.h"

namespace ugodit::espirit {

// Sizes and options; the arrays come later. std::invalid_argument where a size is past what the loops count with.
inline Arguments checked_arguments(std::int64_t coils, std::int64_t rows, std::int64_t columns, std::int64_t reach,
                                   std::int64_t sets, float crop, bool soft) {
    constexpr int kMostCoils = 1 << 12, kLargestReach = 1 << 12;
    Arguments arguments{};
    arguments.coils = checked_size("coils", coils, 1, kMostCoils);
    arguments.rows = checked_size("rows", rows);
    arguments.columns = checked_size("columns", columns);
    arguments.reach = checked_size("reach", reach, 0, kLargestReach);
    arguments.sets = checked_size("sets", sets, 1, coils);
    arguments.crop = crop;
    arguments.soft = soft;
    const std::int64_t terms = arguments.terms(), pairs = arguments.pairs();
    checked_product("coefficients of a row", {2, terms, pairs});
    checked_product("values of the correlations", {2, terms, terms, pairs}, kMostValues);
    checked_product("phases of the rows", {2, rows, terms}, kMostValues);
    checked_product("waves", {2, columns, terms}, kMostValues);
    checked_product("values of the maps", {2, sets, coils, rows, columns}, kMostValues);
    return arguments;
}

}  // namespace ugodit::espirit
