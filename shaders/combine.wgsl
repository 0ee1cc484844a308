// Bits, reasons and log2_n of every row: calibration and sum. One thread per row, workgroup_id.x is the block of rows.
//
// Contract: docs/model.md §5. Reads the surprisals in `results`, program, hashes and columns; writes bits (u32), three reasons
// (view in the low half, bits in the high half, 0x0000ffff for none) and log2_n (u16), and the work of its block: what the
// views counted, added up, and its sums.

const NO_REASON = 0x0000ffffu;
const VIEW_BINS = 1024u;
const ROW_BINS = 16384u;

const KEYS = 0u;
const LOOKUPS = 1u;
const BACKOFFS = 2u;
const SUMS = 3u;

var<workgroup> tally: array<atomic<u32>, 4>;
var<workgroup> tile: array<u32, 256>;

// Where the calibration of the row's host begins.
fn calibration_of(row: u32) -> u32 {
    if (params.sets == NO_SETS) {
        return params.calibration;
    }
    return params.calibration + hashes[params.sets + code(params.host, row)].x;
}

fn calibrated(calibration: u32, entry: u32) -> u32 {
    return (program[calibration + entry / 2u] >> (16u * (entry % 2u))) & 0xffffu;
}

fn surprisal(view: u32, row: u32) -> u32 {
    return (results[surprisal_at(view, row)] >> (16u * (row % 2u))) & 0xffffu;
}

struct Sum {
    bits: u32,
    first: u32,
    second: u32,
    third: u32,
}

// Views come in ascending number, so moving down only what has fewer bits leaves ties in order of the view's number.
fn add(sum: ptr<function, Sum>, view: u32, bits: u32) {
    (*sum).bits += bits;
    let reason = view | (bits << 16u);
    if (bits > ((*sum).first >> 16u)) {
        (*sum).third = (*sum).second;
        (*sum).second = (*sum).first;
        (*sum).first = reason;
    } else if (bits > ((*sum).second >> 16u)) {
        (*sum).third = (*sum).second;
        (*sum).second = reason;
    } else if (bits > ((*sum).third >> 16u)) {
        (*sum).third = reason;
    }
}

fn combine(row: u32, calibration: u32) -> Sum {
    let class_code = code(params.class_column, row);
    var sum = Sum(0u, NO_REASON, NO_REASON, NO_REASON);
    for (var view = 0u; view < params.views; view++) {
        if (applies(view_program(view), class_code)) {
            add(&sum, view, calibrated(calibration, view * VIEW_BINS + (surprisal(view, row) >> 6u)));
        }
    }
    return sum;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x * BLOCK + lane;
    var mine = 0u;
    if (row < params.rows) {
        let calibration = calibration_of(row);
        let sum = combine(row, calibration);
        results[row] = sum.bits;
        let at = reasons_at(row);
        results[at] = sum.first;
        results[at + 1u] = sum.second;
        results[at + 2u] = sum.third;
        mine = calibrated(calibration, params.views * VIEW_BINS + min(sum.bits >> 6u, ROW_BINS - 1u));
        atomicAdd(&tally[SUMS], 1u);
    }
    for (var view = lane; view < params.views; view += BLOCK) {
        let counts = counts_at(view, group.x);
        atomicAdd(&tally[KEYS], results[counts + KEYS]);
        atomicAdd(&tally[LOOKUPS], results[counts + LOOKUPS]);
        atomicAdd(&tally[BACKOFFS], results[counts + BACKOFFS]);
    }
    tile[lane] = mine;
    workgroupBarrier();
    if (lane % 2u == 0u) {
        results[log2_n_at(row)] = tile[lane] | (tile[lane + 1u] << 16u);
    }
    if (lane < 4u) {
        results[work_at(group.x) + lane] = atomicLoad(&tally[lane]);
    }
}
