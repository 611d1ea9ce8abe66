use proptest::prelude::*;

use super::super::tests_support::random_matrix;
use super::super::watch::BuildWatch;
use super::*;

const DIMENSION: usize = 12;

fn config() -> IndexConfig {
    IndexConfig { m: 4, ef_construction: 20, ..IndexConfig::default() }
}

fn index(rows: usize) -> HnswIndex {
    HnswIndex::build(&random_matrix(rows, DIMENSION, 3), &config(), &BuildWatch::default()).unwrap()
}

fn keys(count: usize) -> Vec<RowKey> {
    (0..count as u128).map(u128::to_be_bytes).collect()
}

fn file(rows: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&index(rows), &keys(rows), &[9; 32], &mut bytes).unwrap();
    bytes
}

fn open(bytes: &[u8]) -> Result<Saved, IndexFileError> {
    read(bytes, bytes.len() as u64, &config(), DIMENSION)
}

#[test]
fn what_was_written_is_read() {
    for rows in [0, 1, 300] {
        let written = index(rows);
        let mut bytes = Vec::new();
        write(&written, &keys(rows), &[9; 32], &mut bytes).unwrap();
        let Saved { index: read, keys: read_keys, identity } = open(&bytes).unwrap();
        assert_eq!((read_keys, identity), (keys(rows), [9; 32]));
        assert_eq!((&read.links, &read.rows, read.live), (&written.links, &written.rows, written.live));
        let vectors = random_matrix(20, DIMENSION, 8);
        for query in vectors.iter() {
            assert_eq!(read.nearest_to(query, 7), written.nearest_to(query, 7));
        }
    }
}

#[test]
fn what_is_not_wanted_is_told() {
    let bytes = file(50);
    let length = bytes.len() as u64;
    let other = |config: &IndexConfig, dimension| {
        read(bytes.as_slice(), length, config, dimension).map(drop).unwrap_err().to_string()
    };
    let m = IndexConfig { m: 5, ..config() };
    assert_eq!(other(&m, DIMENSION), "m is 4, expected 5");
    assert_eq!(other(&config(), 13), "the dimension is 12, expected 13");
    for foreign in [&b""[..], b"SQLite format 3\0", &[0; 4096], &[255; 300]] {
        assert!(matches!(open(foreign), Err(IndexFileError::NotOurs)));
    }
    let mut newer = bytes;
    newer[8] = 2;
    assert!(matches!(open(&newer), Err(IndexFileError::OtherFormat { found: 2, known: 1 })));
}

#[test]
fn lengths_that_lie_are_told_before_memory_is_asked_for() {
    let header = Header::of(&index(50), &[9; 32]);
    let lies = [
        Header { nodes: 1 << 31, ..header.clone() },
        Header { nodes: 60, ..header.clone() },
        Header { dimension: 65_536, ..header.clone() },
        Header { m: 256, ..header.clone() },
        Header { sizes: vec![51], ..header.clone() },
        Header { landmarks: 49, ..header.clone() },
        Header { sizes: vec![50, 9, 30], ..header.clone() },
        Header { step: f32::NAN, ..header.clone() },
        Header { recall_at_10: 7.0, ..header },
    ];
    for lie in lies {
        let mut bytes = file(50);
        bytes[..HEADER_BYTES].copy_from_slice(&lie.encode());
        let wide = IndexConfig { m: lie.m, ..config() };
        let error = read(bytes.as_slice(), bytes.len() as u64, &wide, lie.dimension).map(drop).unwrap_err();
        let told = matches!(error, IndexFileError::Length { .. } | IndexFileError::Contradiction { .. });
        assert!(told, "{lie:?}: {error}");
    }
}

/// A checksum says nothing against a file that was made wrong on purpose, or by a fault of ours.
#[test]
fn links_and_rows_are_checked_behind_a_right_checksum() {
    let wrong = |change: fn(&mut HnswIndex)| {
        let mut index = index(50);
        change(&mut index);
        let mut bytes = Vec::new();
        write(&index, &keys(50), &[9; 32], &mut bytes).unwrap();
        open(&bytes).map(drop).unwrap_err().to_string()
    };
    assert_eq!(wrong(|index| index.links.array_mut(0)[7] = 50), "its links contradict each other");
    assert_eq!(wrong(|index| index.landmarks = vec![50]), "its links contradict each other");
    assert_eq!(wrong(|index| index.rows[3] = 50), "its rows contradict each other");
    assert_eq!(wrong(|index| index.rows[3] = index.rows[4]), "its rows contradict each other");
    assert_eq!(wrong(|index| index.rows[3] = DELETED), "its rows contradict each other");
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.0.min(bytes.len());
            self.0 -= room;
            if room == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(room) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let index = index(50);
    for room in [0, 10, HEADER_BYTES, 2_000, file(50).len() - 1] {
        let error = write(&index, &keys(50), &[9; 32], Full(room)).unwrap_err();
        assert!(matches!(error, IndexFileError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_goes_unnoticed(at in any::<prop::sample::Index>(), change in 1u8.., cut in any::<prop::sample::Index>()) {
        let bytes = file(40);
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= change;
        prop_assert!(open(&damaged).is_err());
        prop_assert!(open(&bytes[..cut.index(bytes.len())]).is_err());
        // Cut while it is being read, after its length was taken.
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert!(read(cut, bytes.len() as u64, &config(), DIMENSION).is_err());
    }

    #[test]
    fn random_bytes_are_no_index(mut bytes in prop::collection::vec(any::<u8>(), 0..2_000), ours in any::<bool>()) {
        if ours {
            bytes.splice(..bytes.len().min(16), *b"semrtidx\x01\0\0\0\0\0\0\0");
        }
        prop_assert!(open(&bytes).is_err());
    }
}
