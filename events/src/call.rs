//! System calls that the kernel side follows.

macro_rules! calls {
    ($($variant:ident = $number:literal, $name:literal;)*) => {
        /// A system call that leaves a record of its own, or of the socket that it is about, or is counted.
        #[repr(u16)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Call {
            $(#[doc = concat!("`", $name, "`")] $variant = $number,)*
        }

        impl Call {
            /// Every call, in the order of their values.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant),*];

            /// The call's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

calls! {
    Setuid = 0, "setuid";
    Setgid = 1, "setgid";
    Setreuid = 2, "setreuid";
    Setregid = 3, "setregid";
    Setresuid = 4, "setresuid";
    Setresgid = 5, "setresgid";
    Setfsuid = 6, "setfsuid";
    Setfsgid = 7, "setfsgid";
    Setgroups = 8, "setgroups";
    Capset = 9, "capset";
    Ptrace = 10, "ptrace";
    InitModule = 11, "init_module";
    FinitModule = 12, "finit_module";
    Bpf = 13, "bpf";
    Connect = 14, "connect";
    Accept = 15, "accept";
    Accept4 = 16, "accept4";
    Socket = 17, "socket";
    Socketpair = 18, "socketpair";
}
