//! Keys and values of the kernel's tables as plain bytes.

use bytemuck::{Pod, Zeroable};

/// Something that may be made from any bytes.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plain<T>(pub T);

// SAFETY: a transparent wrapper of what may be made from any bytes, has no padding and no pointers.
unsafe impl<T: Pod> aya::Pod for Plain<T> {}
// SAFETY: as above.
unsafe impl<T: Zeroable> Zeroable for Plain<T> {}
