//! The exports of a module. The code is here, so that [`provider!`] is but
//! their names.
//!
//! A panic, on purpose or from an index out of range, becomes a trap: this
//! target cannot unwind, and there is nobody to print to. The host reports
//! kind `bug` and drops the instance. The text of a panic is seen in native
//! tests only, so return an [`Error`](crate::Error) instead.
//!
//! [`provider!`]: crate::provider

use std::sync::Mutex;

/// The size of the largest input document that a module takes, in bytes.
const MAX_INPUT: usize = 4 << 20;

struct Buffers {
    input: Vec<u8>,
    len: usize, // how much of input the host asked for
    output: Vec<u8>,
}

/// What the host reads and writes: the input until the next alloc, the output
/// until the next call. A module serves one call at a time and has one thread,
/// so the lock is never waited for.
static BUFFERS: Mutex<Buffers> = Mutex::new(Buffers {
    input: Vec::new(),
    len: 0,
    output: Vec::new(),
});

/// Room for an input document of `n` bytes; 0: too long.
pub fn alloc(n: i32) -> i32 {
    let n = match usize::try_from(n) {
        Ok(n) if (1..=MAX_INPUT).contains(&n) => n,
        _ => return 0,
    };
    let mut buffers = BUFFERS.lock().unwrap();
    if n > buffers.input.len() {
        buffers.input = Vec::new(); // the old one first, so that both need not fit
        buffers.input = vec![0; n];
    }
    buffers.len = n;
    buffers.input.as_mut_ptr() as i32
}

/// One call with the `n` bytes written where [`alloc`] said; pointer of the
/// output document in the upper half, its length in the lower.
pub fn call(n: i32, run: fn(&[u8]) -> Vec<u8>) -> i64 {
    let mut buffers = BUFFERS.lock().unwrap();
    let input = usize::try_from(n)
        .ok()
        .filter(|n| *n <= buffers.len)
        .map_or(&[][..], |n| &buffers.input[..n]);
    let output = run(input); // an input too short is reported there
    buffers.output = output;
    (buffers.output.as_ptr() as i64) << 32 | buffers.output.len() as i64
}

/// Makes a type that implements [`Provider`](crate::Provider) the provider of
/// this module. Used once in a crate of type `cdylib`. Natively nothing is
/// exported.
#[macro_export]
macro_rules! provider {
    ($provider:ty) => {
        const _: () = {
            // Also natively, so that the compiler sees the provider used.
            fn run(input: &[u8]) -> Vec<u8> {
                $crate::run::<$provider>(input)
            }

            /// Says by its name which major version of the ABI this module
            /// speaks.
            #[cfg_attr(target_arch = "wasm32", no_mangle)]
            pub extern "C" fn sallyport_provider_v1() {}

            #[cfg_attr(target_arch = "wasm32", no_mangle)]
            pub extern "C" fn sallyport_alloc(n: i32) -> i32 {
                $crate::exports::alloc(n)
            }

            #[cfg_attr(target_arch = "wasm32", no_mangle)]
            pub extern "C" fn sallyport_call(n: i32) -> i64 {
                $crate::exports::call(n, run)
            }
        };
    };
}
