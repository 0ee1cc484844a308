//! The wire record shared with the kernel side, the process key, and the Arrow schemas made from them.
