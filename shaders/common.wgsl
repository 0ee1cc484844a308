// What both kernels share: the buffers, the pair arithmetic, the logarithm, the counters. Prefixed to each kernel's file.
//
// Contract: docs/model.md §2 and §4. u32 only, all arithmetic modulo 2^32 unless a name says otherwise; no float, no u64.
// A row block is 256 rows: columns of results are padded to whole blocks (`params.stride`), and two neighbouring u16
// results share a word, the even row in the low half.

struct Params {
    rows: u32,      // rows of this dispatch
    stride: u32,    // rows, rounded up to whole blocks
    views: u32,
    mask: u32,      // table capacity − 1
    seed: vec2<u32>,
    host: u32,      // column of the scope
    class_column: u32,
    groups: u32,    // first entry of the groups' scopes in `hashes`, one per value of the scope's column; NO_GROUPS if no host has one
    calibration: u32, // first word of the calibration tables in `program`
    slice_bits: u32,  // log2 of the slots of one binding
    sketch_mask: u32, // counters of the overflow sketch − 1; 0 if there is none
    sets: u32,        // first entry in `hashes` of where hosts' calibrations are, in words from the first; NO_SETS if all have that
    unused: u32,
}

// Resident: uploaded once.
// The table is cut into up to four bindings by the high bits of the slot's number. Behind its last slot comes the overflow
// sketch, four counters in the place of a slot.
@group(0) @binding(0) var<storage, read> slots_0: array<vec4<u32>>;    // (key.lo, key.hi, N or n, T or 0)
@group(0) @binding(1) var<storage, read> slots_1: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> slots_2: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> slots_3: array<vec4<u32>>;
// LOG, then one offset per view, then the view programs, then u16 pairs of calibrations: of each 1024 entries per view, 16384 for rows.
@group(0) @binding(4) var<storage, read> program: array<u32>;
// Per batch.
@group(1) @binding(0) var<uniform> params: Params;
@group(1) @binding(1) var<storage, read> hashes: array<vec2<u32>>;     // the distinct values of all columns, then the groups' scopes, then where calibrations are
@group(1) @binding(2) var<storage, read> columns: array<u32>;          // four words a column, then the narrow codes
@group(1) @binding(3) var<storage, read_write> results: array<u32>;    // bits, reasons, log2_n, work, surprisal, counts (see `*_at`)

const BLOCK = 256u;
override SLICES: u32 = 1u; // bindings that the table takes
const LOG_WORDS = 2048u;
const NO_GROUPS = 0xffffffffu;
const NO_SETS = 0xffffffffu;

// A view program is: class mask, vocabulary, number of child columns, the child columns, number of contexts,
// and per context, fine to coarse, the number of its columns and the columns.
fn view_program(view: u32) -> u32 {
    return program[LOG_WORDS + view];
}

// Where each part of the results starts, in words.
fn reasons_at(row: u32) -> u32 {
    return params.stride + 3u * row;
}
fn log2_n_at(row: u32) -> u32 {
    return 4u * params.stride + row / 2u;
}
// Work of a block of rows, four words: keys, lookups and backoffs of all views, and its sums.
fn work_at(block: u32) -> u32 {
    return 4u * params.stride + params.stride / 2u + 4u * block;
}
// From here on, what is read back only where somebody asks.
fn surprisal_at(view: u32, row: u32) -> u32 {
    return work_at(params.stride / BLOCK) + view * (params.stride / 2u) + row / 2u;
}
// Keys, lookups, backoffs of one view; never read back.
fn counts_at(view: u32, block: u32) -> u32 {
    return surprisal_at(params.views, 0u) + 3u * (view * (params.stride / BLOCK) + block);
}

fn slot(at: u32) -> vec4<u32> {
    if (SLICES == 1u) {
        return slots_0[at];
    }
    let within = at & ((1u << params.slice_bits) - 1u);
    switch (at >> params.slice_bits) {
        case 0u: { return slots_0[within]; }
        case 1u: { return slots_1[within]; }
        case 2u: { return slots_2[within]; }
        default: { return slots_3[within]; }
    }
}

// A column's head is: first word of its codes, log2 of the bytes a code takes, first entry of its hashes, 0.
fn code(column: u32, row: u32) -> u32 {
    let first = columns[4u * column];
    let width = columns[4u * column + 1u];
    let per_word = 2u - width;
    let word = columns[first + (row >> per_word)];
    let place = row & ((1u << per_word) - 1u);
    return (word >> (place << (3u + width))) & (0xffffffffu >> (32u - (8u << width)));
}

// Whether the view with this program applies to a row of this class.
fn applies(at: u32, class_code: u32) -> bool {
    return ((program[at] >> class_code) & 1u) == 1u;
}

fn rotl(x: u32, by: u32) -> u32 {
    return (x << by) | (x >> (32u - by));
}

fn absorb(s: vec2<u32>, v: vec2<u32>) -> vec2<u32> {
    var a = (s.x ^ v.x) * 0x9E3779B1u;
    var b = (s.y ^ v.y) * 0x85EBCA77u;
    a = rotl(a, 15u) + b;
    b = rotl(b, 13u) ^ a;
    return vec2<u32>(a * 0xC2B2AE3Du, b * 0x27D4EB2Fu);
}

fn finish(s: vec2<u32>) -> vec2<u32> {
    let t = absorb(absorb(s, vec2<u32>(0u, 0u)), vec2<u32>(0u, 0u));
    return vec2<u32>(t.x ^ (t.x >> 16u), t.y ^ (t.y >> 16u));
}

fn saturating_add(a: u32, b: u32) -> u32 {
    let sum = a + b;
    return select(sum, 0xffffffffu, sum < a);
}

// log2(x) in Q16; lg(0) = 0.
fn lg(x: u32) -> u32 {
    if (x == 0u) {
        return 0u;
    }
    let e = firstLeadingBit(x);
    let m = ((x << (31u - e)) >> 20u) & 0x7ffu;
    return (e << 16u) + program[m];
}
