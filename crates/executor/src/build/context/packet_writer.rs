//! Encodes gRPC packets and combines small ones into larger pieces.
//!
//! Each packet is a message: a prefix of five bytes that contains its length, then its protobuf
//! encoding. File contents are read directly into the piece that is sent, and small packets share a
//! piece.

use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::build::context::ContextError;

/// Maximum number of file bytes in one packet. An engine accepts messages of up to 4 MiB.
pub(super) const CHUNK: usize = 128 * 1024;
/// Size of a piece: a packet of that size, its header, and the packet that ends a file.
const PIECE: usize = CHUNK + 64;
/// Number of the field `data` of a packet.
const DATA: u32 = 4;

/// Collects packets into pieces.
pub(super) struct Pieces<'a> {
    buffer: Vec<u8>,
    give: &'a dyn Fn(Bytes) -> Result<(), ContextError>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(give: &'a dyn Fn(Bytes) -> Result<(), ContextError>) -> Self {
        Self { buffer: Vec::new(), give }
    }

    /// Adds a packet without contents. It is sent when the piece is full, or with the next
    /// [`Self::hand_on`].
    pub(super) fn packet(&mut self, packet: &Packet) -> Result<(), ContextError> {
        let length = packet.encoded_len();
        self.open(length)?;
        packet.encode(&mut self.buffer).expect("a vector takes everything");
        Ok(())
    }

    /// Adds `count` bytes of a file, which `fill` writes. The bytes are sent even if the file turns
    /// out to have changed; the caller then sends nothing more, so that the file has no end.
    pub(super) fn contents<R>(
        &mut self,
        id: u32,
        count: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, ContextError> {
        let head = Packet { id, ..packet(PacketType::PacketData) };
        self.open(head.encoded_len() + key_len(DATA) + encoded_len_varint(count as u64) + count)?;
        head.encode(&mut self.buffer).expect("a vector takes everything");
        encode_key(DATA, WireType::LengthDelimited, &mut self.buffer);
        encode_varint(count as u64, &mut self.buffer);
        let start = self.buffer.len();
        self.buffer.resize(start + count, 0);
        Ok(fill(&mut self.buffer[start..]))
    }

    /// Makes room for a message and writes its prefix.
    fn open(&mut self, length: usize) -> Result<(), ContextError> {
        if self.buffer.len() + length + 5 > PIECE {
            self.hand_on()?;
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(PIECE.max(length + 5));
        }
        self.buffer.push(0);
        let length = u32::try_from(length).map_err(|_| ContextError::Closed)?;
        self.buffer.extend_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Sends the collected packets.
    pub(super) fn hand_on(&mut self) -> Result<(), ContextError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = if self.buffer.len() * 2 < PIECE {
            // Many pieces can wait to be sent, so a small one must not hold a whole buffer.
            let piece = Bytes::copy_from_slice(&self.buffer);
            self.buffer.clear();
            piece
        } else {
            Bytes::from(std::mem::take(&mut self.buffer))
        };
        (self.give)(piece)
    }
}

pub(super) fn packet(kind: PacketType) -> Packet {
    Packet { r#type: kind.into(), ..Packet::default() }
}
