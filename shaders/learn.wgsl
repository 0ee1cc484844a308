// Learning: how often each cell occurs among the rows of a part. An item is (context of a view, row); workgroup_id.y is the
// context, counted over all views, workgroup_id.x the block of rows. Prefixed by common.wgsl.
//
// Contract: docs/model.md §2 and §3, keys without scope. Reads program, hashes, columns. `params.mask` + 1 slots of an
// open-addressing table, at least twice as many as items, all 0 before; `params.calibration` is where `program` lists, per
// context, its view, its number in the view and where its columns are. There are no 64-bit atomics, so a slot is taken in
// rounds of two dispatches. `claim`: an item at a free slot tries to take it, by compare-exchange of a word; who succeeds
// writes its key, which nobody reads in this dispatch. `settle`: an item whose slot has its key counts there and is done;
// one whose slot has another key moves on. Rounds go on until no item is open. Which item takes a slot is chance; what is
// counted under each key is not.

@group(2) @binding(0) var<storage, read_write> places: array<u32>;          // per item: its slot, or DONE
@group(2) @binding(1) var<storage, read_write> item_keys: array<vec4<u32>>; // per item: context and cell
@group(2) @binding(2) var<storage, read_write> claims: array<atomic<u32>>;  // per slot: item + 1 and count; then the items still open
@group(2) @binding(3) var<storage, read_write> slot_keys: array<vec4<u32>>; // per slot, once it is taken: context and cell

const DONE = 0xffffffffu;

fn absorbed(start: vec2<u32>, at: u32, number: u32, row: u32) -> vec2<u32> {
    var s = start;
    for (var i = 0u; i < number; i++) {
        let column = program[at + i];
        s = absorb(s, hashes[columns[4u * column + 2u] + code(column, row)]);
    }
    return s;
}

fn item(context: u32, row: u32) -> u32 {
    return context * params.stride + row;
}

// Makes the keys of all items and sends each to its first slot.
@compute @workgroup_size(256)
fn keys(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x * BLOCK + lane;
    let at = params.calibration + 3u * group.y;
    let view = program[at];
    let view_at = view_program(view);
    let mine = item(group.y, row);
    if (row >= params.rows || !applies(view_at, code(params.class_column, row))) {
        places[mine] = DONE;
        return;
    }
    let context_at = program[at + 2u];
    let start = absorb(params.seed, vec2<u32>(view, program[at + 1u]));
    let context = absorbed(start, context_at + 1u, program[context_at], row);
    let cell = absorbed(context, view_at + 3u, program[view_at + 2u], row);
    item_keys[mine] = vec4<u32>(context, cell);
    places[mine] = finish(cell).x & params.mask;
}

@compute @workgroup_size(256)
fn claim(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let mine = item(group.y, group.x * BLOCK + lane);
    let place = places[mine];
    if (place == DONE) {
        return;
    }
    if (atomicLoad(&claims[2u * place]) != 0u) {
        return;
    }
    if (atomicCompareExchangeWeak(&claims[2u * place], 0u, mine + 1u).exchanged) {
        slot_keys[place] = item_keys[mine];
    }
}

@compute @workgroup_size(256)
fn settle(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let mine = item(group.y, group.x * BLOCK + lane);
    let place = places[mine];
    if (place == DONE) {
        return;
    }
    // A compare-exchange may fail for no reason, and leave a slot free.
    if (atomicLoad(&claims[2u * place]) != 0u) {
        let there = slot_keys[place];
        let key = item_keys[mine];
        if (there.z == key.z && there.w == key.w) {
            atomicAdd(&claims[2u * place + 1u], 1u);
            places[mine] = DONE;
            return;
        }
        places[mine] = (place + 1u) & params.mask;
    }
    atomicAdd(&claims[2u * (params.mask + 1u)], 1u);
}
