//! Compiles the .proto files with protox, so that no protoc has to be installed.

use std::env;
use std::fs;
use std::path::PathBuf;

const FILES: [&str; 5] = [
    "semroute/v1/decision.proto",
    "semroute/v1/router.proto",
    "semroute/v1/references.proto",
    "semroute/v1/admin.proto",
    "semroute/v1/keys.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The reflection service serves this file.
    fs::write(out.join("semroute_descriptor.bin"), {
        use protox::prost::Message;
        descriptors.encode_to_vec()
    })?;
    tonic_prost_build::configure()
        .codec_path("crate::grpc::codec::Lean")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds(descriptors)?;
    Ok(())
}
