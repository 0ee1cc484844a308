// What the card's memory gives at best, for the benchmark of that name: one kernel reads a buffer in order, one reads
// 32 bytes at a time from random places. One thread makes `reads` reads; the sum is written, so that all of them are needed.
//
// Contract: buffers have a power of two of 16-byte entries; `threads` is the number of threads dispatched.

struct Params {
    mask: u32,      // entries − 1
    threads: u32,
    reads: u32,     // of a thread
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> entries: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> sums: array<u32>;

fn total(x: vec4<u32>) -> u32 {
    return x.x ^ x.y ^ x.z ^ x.w;
}

@compute @workgroup_size(256)
fn stream(@builtin(global_invocation_id) id: vec3<u32>) {
    var sum = 0u;
    for (var i = 0u; i < params.reads; i++) {
        sum += total(entries[(id.x + i * params.threads) & params.mask]);
    }
    sums[id.x] = sum;
}

@compute @workgroup_size(256)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    var sum = 0u;
    for (var i = 0u; i < params.reads; i++) {
        // Weyl's sequence, mixed as Murmur does: every place depends on its number alone, so reads need not wait for each other.
        var x = (id.x * params.reads + i) * 0x9E3779B1u;
        x = (x ^ (x >> 16u)) * 0x85EBCA77u;
        x = (x ^ (x >> 13u)) * 0xC2B2AE3Du;
        let at = ((x ^ (x >> 16u)) & params.mask) & 0xfffffffeu;
        sum += total(entries[at]) + total(entries[at + 1u]);
    }
    sums[id.x] = sum;
}
