//! One segment file as it is read: its header, its records, and what of it cannot be read.
//! It must not know what becomes of the records.

use std::{fs, path::Path};

use super::{
    codec::Payload,
    folder::{Folder, failed},
    frame::{self, JournalId},
    report::{OpeningReport, SetAside},
};
use crate::error::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"MAINSTJ\n";
const FORMAT: u32 = 1;
/// Magic, format, journal, number, checksum.
pub(super) const HEADER: usize = 40;
/// The shortest record there is: so many may have been in bytes that cannot be read.
const RECORD_MIN: usize = frame::HEAD + 29;

/// The first bytes of a segment.
pub(super) fn header(id: JournalId, first: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(id.0.to_le_bytes());
    bytes.extend(first.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Format and journal of a header that is whole.
fn read_header(bytes: &[u8]) -> Option<(u32, JournalId)> {
    let (body, sum) = bytes.get(..HEADER)?.split_at(HEADER - 4);
    if body[..8] != MAGIC || sum != crc32fast::hash(body).to_le_bytes() {
        return None;
    }
    let format = body[8..12].try_into().ok().map(u32::from_le_bytes)?;
    let id = body[12..28].try_into().ok().map(u128::from_le_bytes)?;
    Some((format, JournalId(id)))
}

/// The journal that wrote this segment, where its header can be read.
pub(super) fn journal_of(folder: &Folder, first: u64) -> Option<JournalId> {
    let bytes = fs::read(folder.segment(first)).ok()?;
    read_header(&bytes).map(|(_, id)| id)
}

/// A segment that was read.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Payloads in their order, each with its bytes in the file.
    pub(super) payloads: Vec<(Payload, usize)>,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// How many records may have stood, at most, in what was cut off.
    pub(super) lost_max: u64,
}

/// Reads a segment. What cannot be read is copied aside and reported; at the end of the newest it is cut off as well.
///
/// # Errors
/// `Misconfigured` for a file of another journal or of a later format; what the file system says.
pub(super) fn load(
    folder: &Folder,
    id: JournalId,
    first: u64,
    newest: bool,
    report: &mut OpeningReport,
) -> Result<Loaded> {
    let path = folder.segment(first);
    let bytes = fs::read(&path).map_err(|error| failed(&path, "cannot be read", &error))?;
    let start = start_of_records(&path, &bytes, id)?;
    let scan = frame::scan(id, &bytes, start, true);
    for hole in scan.holes {
        let copy =
            folder.set_aside(&path, &format!(".corrupt-{}", hole.start), &bytes[hole.clone()])?;
        report.corrupt(SetAside::new(&path, &hole, copy));
    }
    let mut loaded = Loaded { payloads: scan.payloads, bytes: bytes.len() as u64, lost_max: 0 };
    let Some(tail) = scan.tail else { return Ok(loaded) };
    let unreadable = &bytes[tail.clone()];
    if newest && !frame::is_whole(unreadable) {
        let copy = folder.set_aside(&path, &format!(".torn-{}", tail.start), unreadable)?;
        report.torn(SetAside::new(&path, &tail, copy));
    } else {
        let copy = folder.set_aside(&path, &format!(".corrupt-{}", tail.start), unreadable)?;
        report.corrupt(SetAside::new(&path, &tail, copy));
    }
    if newest {
        cut(&path, tail.start as u64)?;
        loaded.bytes = tail.start as u64;
        loaded.lost_max = (tail.len() / RECORD_MIN) as u64 + 1;
    }
    Ok(loaded)
}

/// Behind the header; at the very start when it cannot be read, for the records can be read without it.
pub(super) fn start_of_records(path: &Path, bytes: &[u8], id: JournalId) -> Result<usize> {
    match read_header(bytes) {
        None => Ok(0),
        Some((FORMAT, other)) if other == id => Ok(HEADER),
        Some((format, _)) if format != FORMAT => Err(Error::new(
            ErrorKind::Misconfigured,
            format!(
                "{} has format {format}: a later Mainstay wrote it; use that one",
                path.display()
            ),
        )),
        Some(_) => Err(Error::new(
            ErrorKind::Misconfigured,
            format!(
                "{} belongs to another journal: move it to a folder of its own",
                path.display()
            ),
        )),
    }
}

fn cut(path: &Path, length: u64) -> Result<()> {
    let cut = fs::OpenOptions::new().write(true).open(path).and_then(|file| {
        file.set_len(length)?;
        file.sync_all()
    });
    cut.map_err(|error| failed(path, "cannot be repaired", &error))
}
