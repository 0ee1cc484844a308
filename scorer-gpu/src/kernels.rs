//! The two compute pipelines and the binding layout they share.

use wgpu::{BindGroupLayout, BufferBindingType, ComputePipeline, Device};

pub(crate) const COMMON: &str = include_str!("../../shaders/common.wgsl");
const SURPRISAL: &str = include_str!("../../shaders/surprisal.wgsl");
const COMBINE: &str = include_str!("../../shaders/combine.wgsl");

/// Rows of a workgroup; the shaders' `BLOCK`.
pub(crate) const BLOCK: u32 = 256;
/// Bindings that a table can be cut into; with the others that makes eight, which every adapter has.
pub(crate) const SLICES: usize = 4;

pub(crate) struct Kernels {
    pub(crate) surprisal: ComputePipeline,
    pub(crate) combine: ComputePipeline,
    /// Group 0: the slices of the table, program.
    pub(crate) resident: BindGroupLayout,
    /// Group 1: params, hashes, columns, results.
    pub(crate) batch: BindGroupLayout,
}

impl Kernels {
    /// Kernels for a table in so many slices.
    pub(crate) fn new(device: &Device, slices: usize) -> Self {
        const READ: BufferBindingType = BufferBindingType::Storage { read_only: true };
        const WRITE: BufferBindingType = BufferBindingType::Storage { read_only: false };
        let resident = bindings(device, "resident", &[READ; SLICES + 1]);
        let batch = bindings(device, "batch", &[BufferBindingType::Uniform, READ, READ, WRITE]);
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("ebbline"),
            bind_group_layouts: &[Some(&resident), Some(&batch)],
            immediate_size: 0,
        });
        let kernel = |label: &str, source: &str| {
            let source = [COMMON, source].concat();
            pipeline(device, &layout, label, &source, "main", &[("SLICES", slices as f64)])
        };
        Self { surprisal: kernel("surprisal", SURPRISAL), combine: kernel("combine", COMBINE), resident, batch }
    }
}

pub(crate) fn bindings(device: &Device, label: &str, types: &[BufferBindingType]) -> BindGroupLayout {
    bindings_from(device, label, 0, types)
}

/// Bindings from number `first` on.
pub(crate) fn bindings_from(device: &Device, label: &str, first: u32, types: &[BufferBindingType]) -> BindGroupLayout {
    let entries: Vec<_> = (first..)
        .zip(types)
        .map(|(binding, &ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries })
}

/// The pipeline of an entry point, with the values of its `override` constants.
pub(crate) fn pipeline(
    device: &Device,
    layout: &wgpu::PipelineLayout,
    label: &str,
    source: &str,
    entry: &str,
    constants: &[(&str, f64)],
) -> ComputePipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(label),
        layout: Some(layout),
        module: &module,
        entry_point: Some(entry),
        compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
        cache: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest limits any WebGPU adapter offers: 8 storage buffers a stage, 4 bind groups, 256 invocations.
    fn device() -> Device {
        let mut limits = wgpu::Limits::defaults();
        limits.max_storage_buffers_per_shader_stage = 8;
        limits.max_bind_groups = 4;
        Device::noop(&wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() }).0
    }

    fn validation(device: &Device, make: impl FnOnce()) -> Option<String> {
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        make();
        pollster::block_on(scope.pop()).map(|error| error.to_string())
    }

    #[test]
    fn shaders_validate_without_a_driver() {
        let device = device();
        for slices in 1..=SLICES {
            let error = validation(&device, || drop(Kernels::new(&device, slices)));
            assert_eq!(error, None);
        }
    }

    #[test]
    fn a_shader_with_an_error_does_not_validate() {
        let device = device();
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[],
            immediate_size: 0,
        });
        let broken = "@compute @workgroup_size(256) fn main() { let x: u32 = lg(1.5); }";
        let error = validation(&device, || drop(pipeline(&device, &layout, "broken", broken, "main", &[])));
        assert!(error.is_some());
    }

    #[test]
    fn the_other_shaders_validate_too() {
        let device = device();
        let error = validation(&device, || drop(crate::learn::Kernels::new(&device)));
        assert_eq!(error, None);
    }

    #[test]
    fn shaders_are_integer_only() {
        for source in [COMMON, SURPRISAL, COMBINE, crate::learn::LEARN] {
            let code: Vec<&str> = source.lines().map(|l| l.split("//").next().unwrap_or("")).collect();
            for word in ["f32", "f16", "f64", "u64", "i64", "log2(", "exp"] {
                assert!(!code.iter().any(|line| line.contains(word)), "{word}");
            }
        }
    }
}
