//! What an adapter's memory and its way to the host give at best, by which the kernels are judged.

use crate::choose::find;
use crate::device::Gpu;
use crate::error::OpenError;
use crate::kernels::{bindings, pipeline};
use std::time::Instant;
use wgpu::{BindGroup, Buffer, BufferBindingType, BufferUsages, ComputePipeline};

const KERNELS: &str = include_str!("../../shaders/roofline.wgsl");
/// Threads of a dispatch.
const THREADS: u32 = 1 << 18;
/// Reads of a thread at most, and seconds that they may take.
const READS: u32 = 64;
const A_WHILE: f64 = 0.25;
/// Each rate is the best of so many tries.
const TRIES: usize = 3;
/// Bytes of one copy between host and card.
const COPY: u64 = 64 << 20;

/// Rates of an adapter.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Bytes of the buffer that was read from.
    pub buffer: u64,
    /// Bytes a second, read in order.
    pub stream: f64,
    /// 32-byte reads a second from random places.
    pub gather: f64,
    /// Bytes a second from host to card.
    pub up: f64,
    /// Bytes a second from card to host.
    pub down: f64,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    mask: u32,
    threads: u32,
    reads: u32,
    unused: u32,
}

/// Measures the adapter with this name, with a buffer of at most `bytes`.
pub fn measure(name: &str, bytes: u64) -> Result<Rates, OpenError> {
    let (info, adapter) = find(name)?;
    let gpu = Gpu::new(&info, &adapter, wgpu::Features::empty())?;
    let bench = Bench::new(&gpu, bytes.min(gpu.largest))?;
    let in_order = bench.kernel("stream");
    let random = bench.kernel("gather");
    let rates = Rates {
        buffer: bench.entries * 16,
        stream: bench.reads_per_s(&in_order)? * 16.0,
        gather: bench.reads_per_s(&random)?,
        up: COPY.min(bench.entries * 16) as f64 / bench.up()?,
        down: COPY.min(bench.entries * 16) as f64 / bench.down()?,
    };
    gpu.check_open()?;
    Ok(rates)
}

struct Bench<'a> {
    gpu: &'a Gpu,
    entries: u64,
    data: Buffer,
    params: Buffer,
    layout: wgpu::PipelineLayout,
    bind: BindGroup,
}

impl<'a> Bench<'a> {
    fn new(gpu: &'a Gpu, bytes: u64) -> Result<Self, OpenError> {
        let entries = 1 << (bytes / 16).max(2).ilog2();
        let data =
            gpu.buffer("data", entries * 16, BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC);
        let sums = gpu.buffer("sums", u64::from(THREADS) * 4, BufferUsages::STORAGE);
        let params = gpu.buffer("params", size_of::<Params>() as u64, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
        let types = [true, false].map(|read_only| BufferBindingType::Storage { read_only });
        let group = bindings(&gpu.device, "roofline", &[BufferBindingType::Uniform, types[0], types[1]]);
        let layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("roofline"),
            bind_group_layouts: &[Some(&group)],
            immediate_size: 0,
        });
        let entries_of = [&params, &data, &sums];
        let entries_of: Vec<_> = (0..)
            .zip(entries_of)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bind = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("roofline"),
            layout: &group,
            entries: &entries_of,
        });
        gpu.check_open()?;
        Ok(Self { gpu, entries, data, params, layout, bind })
    }

    fn kernel(&self, entry: &str) -> ComputePipeline {
        pipeline(&self.gpu.device, &self.layout, entry, KERNELS, entry, &[])
    }

    /// Reads a second of all threads.
    fn reads_per_s(&self, kernel: &ComputePipeline) -> Result<f64, OpenError> {
        // One read a thread tells how many take a while: a card makes all of them, a software adapter few.
        let fit = (A_WHILE / self.run(kernel, 1)?.max(1e-6)) as u32;
        let reads = fit.clamp(1, READS);
        Ok(f64::from(THREADS) * f64::from(reads) / self.run(kernel, reads)?)
    }

    /// Seconds of a dispatch, the wait for it included.
    fn run(&self, kernel: &ComputePipeline, reads: u32) -> Result<f64, OpenError> {
        let params = Params { mask: (self.entries - 1) as u32, threads: THREADS, reads, unused: 0 };
        self.gpu.queue.write_buffer(&self.params, 0, bytemuck::bytes_of(&params));
        self.finish()?;
        self.best(|| {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(kernel);
            pass.set_bind_group(0, &self.bind, &[]);
            pass.dispatch_workgroups(THREADS / crate::kernels::BLOCK, 1, 1);
            drop(pass);
            self.gpu.queue.submit([encoder.finish()]);
            self.finish()
        })
    }

    fn up(&self) -> Result<f64, OpenError> {
        let bytes = vec![7; COPY.min(self.entries * 16) as usize];
        self.best(|| {
            self.gpu.queue.write_buffer(&self.data, 0, &bytes);
            self.gpu.queue.submit([]);
            self.finish()
        })
    }

    fn down(&self) -> Result<f64, OpenError> {
        let bytes = COPY.min(self.entries * 16);
        let readback = self.gpu.buffer("readback", bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        let mut host = vec![0u8; bytes as usize];
        self.best(|| {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&self.data, 0, &readback, 0, bytes);
            self.gpu.queue.submit([encoder.finish()]);
            readback.map_async(wgpu::MapMode::Read, 0..bytes, |_| ());
            self.finish()?;
            if let Ok(mapped) = readback.get_mapped_range(0..bytes) {
                host.copy_from_slice(&mapped);
            }
            readback.unmap();
            Ok(())
        })
    }

    /// The least seconds of a few tries.
    fn best(&self, mut work: impl FnMut() -> Result<(), OpenError>) -> Result<f64, OpenError> {
        let mut least = f64::INFINITY;
        for _ in 0..TRIES {
            let start = Instant::now();
            work()?;
            least = least.min(start.elapsed().as_secs_f64());
        }
        Ok(least)
    }

    fn finish(&self) -> Result<(), OpenError> {
        let waited = self.gpu.wait(None);
        waited.map_err(|error| OpenError::Device { adapter: self.gpu.info.name.clone(), why: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_adapter_has_rates() {
        for adapter in crate::adapters() {
            let rates = measure(&adapter.name, 1 << 20).unwrap();
            assert!([rates.stream, rates.gather, rates.up, rates.down].iter().all(|rate| *rate > 0.0), "{rates:?}");
        }
    }
}
