//! The wgpu backend of the model: devices, limits, buffers, dispatch.
