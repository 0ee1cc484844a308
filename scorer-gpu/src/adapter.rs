//! Which adapters this machine has, and which of them are real hardware.

use std::fmt;

/// Whether an adapter is a card or a program that acts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// Silicon.
    Hardware,
    /// A driver that computes on the CPU: good for tests, never faster than the CPU backend.
    Software,
}

/// One adapter, for listings and for choosing by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterInfo {
    /// The name the driver gives it.
    pub name: String,
    /// Hardware or software.
    pub kind: AdapterKind,
    /// The interface it is reached by, for example `vulkan`.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            AdapterKind::Hardware => "hardware",
            AdapterKind::Software => "software",
        };
        write!(f, "{} ({kind}, {}, {})", self.name, self.backend, self.driver)
    }
}

/// All adapters found, the ones `auto` prefers first. Empty when there is no Vulkan loader or driver.
pub fn adapters() -> Vec<AdapterInfo> {
    enumerate().into_iter().map(|(info, _)| info).collect()
}

pub(crate) fn enumerate() -> Vec<(AdapterInfo, wgpu::Adapter)> {
    let mut instance = wgpu::InstanceDescriptor::new_without_display_handle();
    // Vulkan alone: with the noop backend enabled wgpu may hand that out silently.
    instance.backends = wgpu::Backends::VULKAN;
    instance.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(instance);
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let mut found: Vec<_> = found
        .into_iter()
        .filter(|adapter| adapter.get_info().backend != wgpu::Backend::Noop)
        .map(|adapter| (describe(&adapter.get_info()), adapter))
        .collect();
    found.sort_by_key(|(_, adapter)| rank(&adapter.get_info()));
    found
}

fn rank(info: &wgpu::AdapterInfo) -> u8 {
    match (kind_of(info.device_type, &info.name), info.device_type) {
        (AdapterKind::Software, _) => 3,
        (_, wgpu::DeviceType::DiscreteGpu) => 0,
        (_, wgpu::DeviceType::IntegratedGpu) => 1,
        _ => 2,
    }
}

/// The adapter that computes nothing and needs no driver.
pub(crate) fn noop() -> Option<(AdapterInfo, wgpu::Adapter)> {
    let mut instance = wgpu::InstanceDescriptor::new_without_display_handle();
    instance.backends = wgpu::Backends::NOOP;
    instance.backend_options.noop.enable = true;
    let noop = wgpu::Instance::new(instance).request_adapter(&wgpu::RequestAdapterOptions::default());
    pollster::block_on(noop).ok().map(|adapter| (describe(&adapter.get_info()), adapter))
}

pub(crate) fn describe(info: &wgpu::AdapterInfo) -> AdapterInfo {
    AdapterInfo {
        name: info.name.clone(),
        kind: kind_of(info.device_type, &info.name),
        backend: info.backend.to_str().to_owned(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
    }
}

/// A virtual GPU may be a software renderer further down, and says so only in its name.
fn kind_of(device: wgpu::DeviceType, name: &str) -> AdapterKind {
    let name = name.to_lowercase();
    let software = ["llvmpipe", "lavapipe", "softpipe", "swiftshader", "software"];
    match device {
        wgpu::DeviceType::Cpu | wgpu::DeviceType::Other => AdapterKind::Software,
        _ if software.iter().any(|word| name.contains(word)) => AdapterKind::Software,
        _ => AdapterKind::Hardware,
    }
}

/// Keeps Mesa's device selection layer, which prints to standard error wherever there is no desktop, out of this process.
///
/// # Safety
/// Changes the environment: call it first in `main`, while there is one thread.
pub unsafe fn quiet_drivers() {
    // SAFETY: the caller's promise.
    unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_is_known_by_type_or_name() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, VirtualGpu};
        assert_eq!(kind_of(Cpu, "anything"), AdapterKind::Software);
        assert_eq!(kind_of(VirtualGpu, "Virtio-GPU Venus (llvmpipe)"), AdapterKind::Software);
        assert_eq!(kind_of(DiscreteGpu, "NVIDIA H100"), AdapterKind::Hardware);
    }

    #[test]
    fn listing_never_fails() {
        for adapter in adapters() {
            println!("{adapter}");
        }
    }
}
