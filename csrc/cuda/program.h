// A block's list of steps (transform.h), step by step for all coils of its row.
#pragma once

#include <cstdint>

#include "cuda/bluestein.h"
#include "cuda/coils.h"
#include "cuda/passes.h"
#include "cuda/row.h"

namespace ugodit::cuda {

template <class Block>
UGODIT_DEVICE void radix_step(const Row<Block>& row, const Step& step, const Flight& flight, const Turn& turn) {
    const SenseArguments& sense = row.sense;
    const Block block = row.block;
    const bool inner = step.inner != 0;
    const Chain& chain = inner ? sense.transform.inner : sense.transform.chain;
    const DeviceStage& stage = chain.stages[step.stage];
    const int copies = inner ? flight.count * (row.n / sense.transform.prime) : flight.count;
    const Pass pass{stage,
                    chain.padding,
                    stage.twiddle < 0 ? nullptr : sense.table + stage.twiddle,
                    stage.roots < 0 ? nullptr : sense.table + stage.roots,
                    copies,
                    inner ? sense.layout.inner : flight.lines};
    const int radix = stage.radix;
    if (step.action == Action::forward_pass) {
#define UGODIT_PASS(R) \
    if (radix == R) radix_pass<R, false>(block, pass);
        UGODIT_RADICES(UGODIT_PASS)
    } else if (step.action == Action::inverse_pass) {
#undef UGODIT_PASS
#define UGODIT_PASS(R) \
    if (radix == R) radix_pass<R, true>(block, pass);
        UGODIT_RADICES(UGODIT_PASS)
#undef UGODIT_PASS
    } else if (step.action == Action::turn) {
#define UGODIT_PASS(R) \
    if (radix == R) radix_turn<R>(block, pass, turn);
        UGODIT_SMALL_RADICES(UGODIT_PASS)
#undef UGODIT_PASS
    } else if (step.action == Action::forward_twiddle) {
        twiddle_pass<false>(block, pass);
    } else if (step.action == Action::inverse_twiddle) {
        twiddle_pass<true>(block, pass);
    } else if (step.action == Action::forward_dense) {
        dense_pass<false>(block, pass, flight.spare);
    } else {
        dense_pass<true>(block, pass, flight.spare);
    }
}

// The whole program for all coils. `turn.data` is the row's first coil. Solve marks the kernel that applies the normal
// operator only, and may have its maps in shared memory.
template <bool Solve, class Block>
UGODIT_DEVICE void run_program(const Row<Block>& row, Turn turn, const ApplyArguments* arguments) {
    const SenseArguments& sense = row.sense;
    const Layout& layout = sense.layout;
    for (int coil = 0; coil < sense.coils; coil += layout.flight) {
        const int rest = sense.coils - coil;
        Flight flight{coil, rest < layout.flight ? rest : layout.flight, layout.lines, layout.spare};
        for (int i = 0; i < sense.program.count; ++i) {
            const Step& step = sense.program.steps[i];
            const Bluestein<Block> bluestein{
                row.block,    sense.transform,
                sense.table,  sense.transform.prime > 0 ? flight.count * (row.n / sense.transform.prime) : 0,
                flight.lines, layout.inner};
            switch (step.action) {
                case Action::expand:
                    with_maps<Solve>(row, [&](const auto& maps) { expand(row, flight, maps); });
                    break;
                case Action::combine:
                    with_maps<Solve>(row, [&](const auto& maps) { combine(row, flight, maps); });
                    break;
                case Action::weigh:
                    weigh_lines(row.block, sense.transform.chain.padding, row.n, flight.count, flight.lines, turn);
                    break;
                case Action::enter_forward:
                    bluestein.template enter<false>();
                    break;
                case Action::enter_inverse:
                    bluestein.template enter<true>();
                    break;
                case Action::convolve:
                    bluestein.convolve();
                    break;
                case Action::leave_forward:
                    bluestein.template leave<false>();
                    break;
                case Action::leave_inverse:
                    bluestein.template leave<true>();
                    break;
                case Action::store_kspace:
                    if (!Solve) store_kspace(row, flight, arguments->projection);
                    break;
                case Action::load_kspace:
                    if (!Solve) load_kspace(row, flight, arguments->kspace + row.item * arguments->kspace_step);
                    break;
                default:
                    radix_step(row, step, flight, turn);
                    break;
            }
            if (step.action == Action::forward_dense || step.action == Action::inverse_dense) {
                const int moved = flight.spare;
                flight.spare = flight.lines;
                flight.lines = moved;
            }
        }
        if (turn.data != nullptr) turn.data += static_cast<std::int64_t>(flight.count) * turn.data_lines;
    }
}

}  // namespace ugodit::cuda
