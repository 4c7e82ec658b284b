//! Linker options for the shipped (musl, release) binary; docs/decisions.md has what each saves. Another linker than rust-lld may not
//! know them, so it links as usual.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build script reads its environment and prints its orders"
)]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=.cargo/small.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found.ends_with(value));
    if is("CARGO_CFG_TARGET_ENV", "musl") && is("PROFILE", "release") && is("RUSTC_LINKER", "rust-lld") {
        let script = format!("{}/.cargo/small.ld", env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
        for option in ["--icf=all", "--pack-dyn-relocs=relr", "--no-eh-frame-hdr", "-T", &script] {
            println!("cargo::rustc-link-arg-bin=graceinit={option}");
        }
    }
}
