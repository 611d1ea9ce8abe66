//! Writes the frames of an event stream, by the format's description rather than by the SDK.

/// The frames of `tests/golden/wire/bedrock/*.jsonl`: a line is `{"type":payload}`, whatever the payload is.
pub(super) fn frames(lines: &str) -> Vec<u8> {
    lines.lines().flat_map(line).collect()
}

fn line(line: &str) -> Vec<u8> {
    let Some((name, payload)) = line.trim_start_matches("{\"").split_once("\":") else { return line.into() };
    let payload = payload.strip_suffix('}').unwrap_or(payload);
    let kind = if name.ends_with("Exception") { "exception" } else { "event" };
    frame(&[(":message-type", kind), (&format!(":{kind}-type"), name), (":content-type", "application/json")], payload)
}

pub(super) fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    const STRING: u8 = 7;
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(name.len() as u8);
        head.extend(name.bytes());
        head.push(STRING);
        head.extend((value.len() as u16).to_be_bytes());
        head.extend(value.bytes());
    }
    let length = 12 + head.len() + payload.len() + 4;
    let mut frame: Vec<u8> = [length as u32, head.len() as u32].into_iter().flat_map(u32::to_be_bytes).collect();
    frame.extend(crc(&frame).to_be_bytes());
    frame.extend(head);
    frame.extend(payload.bytes());
    frame.extend(crc(&frame).to_be_bytes());
    frame
}

/// CRC-32 as in zip and Ethernet, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

#[test]
fn the_checksum_is_the_one_that_is_meant() {
    assert_eq!(crc(b"123456789"), 0xcbf4_3926);
}
