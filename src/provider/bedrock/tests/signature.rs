//! Checks AWS' signature (version 4) of what arrived, by its description
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).

use sha2::{Digest, Sha256};

use super::super::super::scripted::Received;

pub(super) const SECRET: &str = "secret-0123456789";

const BLOCK_BYTES: usize = 64;

/// The signature covers the method, the path, the signed headers and the body.
pub(super) fn check(request: &Received, region: &str) {
    let authorization = &request.headers["authorization"];
    let field = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap();
        rest.split(',').next().unwrap()
    };
    let date = &request.headers["x-amz-date"];
    let scope = format!("{}/{region}/bedrock/aws4_request", &date[..8]);
    assert_eq!(field("Credential"), format!("AKIASCRIPTED/{scope}"));
    assert!(field("SignedHeaders").split(';').any(|name| name == "host"));
    let headers: String =
        field("SignedHeaders").split(';').map(|name| format!("{name}:{}\n", request.headers[name])).collect();
    // The path is escaped once more.
    let path = request.path.replace('%', "%25");
    let body = hex(&Sha256::digest(&request.body));
    let canonical = format!("POST\n{path}\n\n{headers}\n{}\n{body}", field("SignedHeaders"));
    let signed = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    assert_eq!(field("Signature"), hex(&hmac(&key, signed.as_bytes())));
}

/// Of a key of at most one block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| (0..BLOCK_BYTES).map(move |at| key.get(at).copied().unwrap_or(0) ^ byte);
    let inner = Sha256::digest(pad(0x36).chain(message.iter().copied()).collect::<Vec<u8>>());
    Sha256::digest(pad(0x5c).chain(inner.iter().copied()).collect::<Vec<u8>>()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
