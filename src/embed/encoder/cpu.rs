//! What the CPU at hand can do, found out at run time: one portable build uses the widest vectors that there are.

use pulp::Arch;

/// Vector instructions, from the least to the most. A cap on them is for tests and for comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InstructionSet {
    /// No more than the target has anyway: scalar code on x86-64, NEON on aarch64.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL; VNNI is used where it is there.
    Avx512,
}

impl InstructionSet {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// The instruction sets that kernels run on. It can only be had on a CPU that has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    pub arch: Arch,
    /// For the kernels on bytes, which name their instructions.
    pub bytes: ByteArch,
    pub fetch: Fetch,
}

/// Fetches memory into the first cache before it is read: a short batch needs new weights sooner than a CPU foresees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetch {
    #[cfg(target_arch = "x86_64")]
    sse: Option<pulp::core_arch::x86::Sse>,
}

impl Fetch {
    fn new() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            sse: pulp::core_arch::x86::Sse::try_new(),
        }
    }

    /// The line around an address. Nothing is read: any address does.
    #[inline(always)]
    pub fn line<T>(self, address: *const T) {
        #[cfg(target_arch = "x86_64")]
        if let Some(sse) = self.sse {
            sse._mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }
}

/// What the kernels on bytes may use.
#[derive(Debug, Clone, Copy)]
pub(super) enum ByteArch {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Vnni(crate::byte::Vnni),
}

impl Cpu {
    /// The best that this CPU has, at most `cap`.
    pub fn detect(cap: Option<InstructionSet>) -> Self {
        let allowed = |set: InstructionSet| cap.is_none_or(|cap| set <= cap);
        Self::detect_on_target(&allowed)
    }

    #[cfg(target_arch = "x86_64")]
    fn detect_on_target(allowed: &dyn Fn(InstructionSet) -> bool) -> Self {
        use pulp::x86::{V3, V4};

        let v4 = V4::try_new().filter(|_| allowed(InstructionSet::Avx512));
        let v3 = V3::try_new().filter(|_| allowed(InstructionSet::Avx2));
        let arch = match (v4, v3) {
            (Some(v4), _) => Arch::V4(v4),
            (None, Some(v3)) => Arch::V3(v3),
            (None, None) => Arch::Scalar,
        };
        let vnni = v4.and_then(crate::byte::Vnni::try_new);
        let bytes = match (vnni, v3) {
            (Some(vnni), _) => ByteArch::Vnni(vnni),
            (None, Some(v3)) => ByteArch::Avx2(v3),
            (None, None) => ByteArch::Portable,
        };
        Self { arch, bytes, fetch: Fetch::new() }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect_on_target(_allowed: &dyn Fn(InstructionSet) -> bool) -> Self {
        Self { arch: Arch::new(), bytes: ByteArch::Portable, fetch: Fetch::new() }
    }

    /// For logs: the sets of the float kernels and of those on bytes.
    pub fn describe(self) -> &'static str {
        #[cfg(target_arch = "x86_64")]
        match (self.arch, self.bytes) {
            (_, ByteArch::Vnni(_)) => return "avx512+vnni",
            (Arch::V4(_), _) => return "avx512",
            (Arch::V3(_), _) => return "avx2",
            (_, _) => {}
        }
        "portable"
    }
}
