// Surprisal of every (row, view): keys, look-up and back-off. One thread per (row, view), a workgroup is one block of rows
// of one view: workgroup_id.x is the block, workgroup_id.y the view.
//
// Contract: docs/model.md §2, §3 and §4 (PPM method C). Reads slots and sketch, program, hashes, columns; writes the surprisal part of
// `results` as u16 in 1/1024 bit, 0 where the view does not apply or the row is padding; writes keys, lookups and backoffs of its block.

const FLEET = vec2<u32>(0x461EE700u, 0x46A5C0DEu);
const SKETCH = vec2<u32>(0x5CE7C400u, 0xC0DEC0DEu);
const COUNT_KEYS = 0u;
const COUNT_LOOKUPS = 1u;
const COUNT_BACKOFFS = 2u;

var<private> keys: u32;
var<private> lookups: u32;
var<workgroup> tally: array<atomic<u32>, 3>;
var<workgroup> tile: array<u32, 256>;

fn value(column: u32, row: u32) -> vec2<u32> {
    return hashes[columns[4u * column + 2u] + code(column, row)];
}

// Absorbs the values of the columns listed in program[at..at + number].
fn absorb_columns(start: vec2<u32>, at: u32, number: u32, row: u32) -> vec2<u32> {
    var s = start;
    for (var i = 0u; i < number; i++) {
        s = absorb(s, value(program[at + i], row));
    }
    return s;
}

fn scoped(x: vec2<u32>, scope: vec2<u32>) -> vec2<u32> {
    keys += 1u;
    return finish(absorb(x, scope));
}

// The two counts of a key, (0, 0) if the table has none. Probes from key.lo upwards, wrapping, to the first empty slot.
fn find(key: vec2<u32>) -> vec2<u32> {
    lookups += 1u;
    var at = key.x & params.mask;
    for (var probes = 0u; probes <= params.mask; probes++) {
        let there = slot(at);
        if (there.z == 0u) {
            break;
        }
        if (there.x == key.x && there.y == key.y) {
            return there.zw;
        }
        at = (at + 1u) & params.mask;
    }
    return vec2<u32>(0u, 0u);
}

fn sketch_counter(place: u32) -> u32 {
    return slot(params.mask + 1u + place / 4u)[place % 4u];
}

// What the overflow sketch knows of a cell that the table has not, in a context of which `total` was seen.
fn overflow(key: vec2<u32>, total: u32) -> u32 {
    if (params.sketch_mask == 0u) {
        return 0u;
    }
    let places = finish(absorb(key, SKETCH)) & vec2<u32>(params.sketch_mask);
    return min(min(sketch_counter(places.x), sketch_counter(places.y)), total);
}

// One level. Returns (1, s) when the cell was seen there, else (0, what the level costs).
fn level(context: vec2<u32>, cell: vec2<u32>, scope: vec2<u32>) -> vec2<u32> {
    let totals = find(scoped(context, scope));
    if (totals.x == 0u) {
        return vec2<u32>(0u, 0u);
    }
    let all = lg(saturating_add(totals.x, totals.y));
    let key = scoped(cell, scope);
    var n = find(key).x;
    if (n == 0u) {
        n = overflow(key, totals.x);
    }
    if (n > 0u) {
        return vec2<u32>(1u, all - lg(n));
    }
    return vec2<u32>(0u, all - lg(totals.y));
}

// The scope of the group of the row's host; (0, 0) if it has none.
fn group_scope(row: u32) -> vec2<u32> {
    if (params.groups == NO_GROUPS) {
        return vec2<u32>(0u, 0u);
    }
    return hashes[params.groups + code(params.host, row)];
}

fn surprisal(view: u32, row: u32) -> u32 {
    let at = view_program(view);
    let children = program[at + 2u];
    let child_at = at + 3u;
    let contexts = program[child_at + children];
    var context_at = child_at + children + 1u;
    let host = value(params.host, row);
    let peers = group_scope(row);
    let seed = params.seed;
    var s = 0u;
    for (var c = 0u; c < contexts; c++) {
        let number = program[context_at];
        let context = absorb_columns(absorb(seed, vec2<u32>(view, c)), context_at + 1u, number, row);
        let cell = absorb_columns(context, child_at, children, row);
        context_at += number + 1u;
        let own = level(context, cell, host);
        s += own.y;
        if (own.x == 1u) {
            return s;
        }
        if (peers.x != 0u || peers.y != 0u) {
            let group = level(context, cell, peers);
            s += group.y;
            if (group.x == 1u) {
                return s;
            }
        }
        let fleet = level(context, cell, FLEET);
        s += fleet.y;
        if (fleet.x == 1u) {
            return s;
        }
    }
    return s + lg(saturating_add(program[at + 1u], 1u));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let view = group.y;
    let row = group.x * BLOCK + lane;
    var mine = 0u;
    if (row < params.rows && applies(view_program(view), code(params.class_column, row))) {
        mine = min((surprisal(view, row) + 32u) >> 6u, 65535u);
        atomicAdd(&tally[COUNT_KEYS], keys);
        atomicAdd(&tally[COUNT_LOOKUPS], lookups);
        atomicAdd(&tally[COUNT_BACKOFFS], 1u);
    }
    tile[lane] = mine;
    workgroupBarrier();
    if (lane % 2u == 0u) {
        results[surprisal_at(view, row)] = tile[lane] | (tile[lane + 1u] << 16u);
    }
    if (lane < 3u) {
        results[counts_at(view, group.x) + lane] = atomicLoad(&tally[lane]);
    }
}
