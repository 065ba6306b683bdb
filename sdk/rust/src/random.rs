//! The random bytes of a conversation: ChaCha8Rand (C2SP chacha8rand), as
//! `Conversation.Random` of the Go SDK has it.

const WORDS: usize = 64; // of 32 bits, in one block of four lanes

/// A stream that only its key decides.
pub(crate) struct Random {
    key: [u32; 8],
    block: [u32; WORDS],
    counter: u32,
    next: usize, // byte of the block
}

impl Random {
    /// The stream of a conversation's seed in hexadecimal. It is not the stream
    /// that WASI's random_get reads in the sandbox, so that no bytes come twice.
    pub(crate) fn new(seed: &str) -> Random {
        let seed = seed.as_bytes();
        let mut key = [0u32; 8];
        for i in 0..32 {
            let byte = match seed.get(2 * i..2 * i + 2) {
                Some(digits) => nibble(digits[0]) << 4 | nibble(digits[1]),
                None => 0,
            };
            key[i / 4] |= u32::from(byte ^ 0x5a) << (8 * (i % 4));
        }
        Random {
            block: block(&key, 0),
            key,
            counter: 0,
            next: 0,
        }
    }

    pub(crate) fn fill(&mut self, to: &mut [u8]) {
        for byte in to {
            // Of every fourth block the last 32 bytes are the next key.
            let end = if self.counter == 12 { WORDS - 8 } else { WORDS };
            if self.next == 4 * end {
                self.refill();
            }
            *byte = self.block[self.next / 4].to_le_bytes()[self.next % 4];
            self.next += 1;
        }
    }

    fn refill(&mut self) {
        self.counter += 4;
        if self.counter == 16 {
            self.key.copy_from_slice(&self.block[WORDS - 8..]);
            self.counter = 0;
        }
        self.block = block(&self.key, self.counter);
        self.next = 0;
    }
}

fn nibble(c: u8) -> u8 {
    (c as char).to_digit(16).unwrap_or(0) as u8
}

/// Four blocks of ChaCha8 with successive counters, word by word.
fn block(key: &[u32; 8], counter: u32) -> [u32; WORDS] {
    let mut out = [0; WORDS];
    for lane in 0..4 {
        let mut w = [0u32; 16];
        w[..4].copy_from_slice(&[0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
        w[4..12].copy_from_slice(key);
        w[12] = counter + lane as u32;
        for _ in 0..4 {
            for i in 0..4 {
                quarter(&mut w, i, i + 4, i + 8, i + 12);
            }
            for i in 0..4 {
                quarter(
                    &mut w,
                    i,
                    (i + 1) % 4 + 4,
                    (i + 2) % 4 + 8,
                    (i + 3) % 4 + 12,
                );
            }
        }
        for i in 0..16 {
            // Only the key is added: the rest of the first state is known.
            let first = if (4..12).contains(&i) { key[i - 4] } else { 0 };
            out[4 * i + lane] = w[i].wrapping_add(first);
        }
    }
    out
}

/// The quarter round of RFC 8439 §2.1.
fn quarter(w: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    for (left, right) in [(16, 12), (8, 7)] {
        w[a] = w[a].wrapping_add(w[b]);
        w[d] = (w[d] ^ w[a]).rotate_left(left);
        w[c] = w[c].wrapping_add(w[d]);
        w[b] = (w[b] ^ w[c]).rotate_left(right);
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{:02x}", b)).collect()
    }

    /// The same bytes as `TestRandomIsTheStreamOfTheRustSDK` of the Go SDK has.
    #[test]
    fn the_stream_of_the_go_sdk() {
        for (seed, first, later) in [
            (
                "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "7c39343fea79690327bc89ebc253d40c",
                "4a8a24111fc61588145f0de09201975c6c9f8dd54e31a3410d7412be30d35fff",
            ),
            (
                "",
                "614fe68b2524daabb990097b192155b4",
                "43697297b8e20998ea2ee130a5393266960a21dcc9303593806dda7d4fdda746",
            ),
        ] {
            let (mut whole, mut pieces) = (vec![0; 4096], vec![0; 4096]);
            Random::new(seed).fill(&mut whole);
            let mut r = Random::new(seed);
            for piece in pieces.chunks_mut(7) {
                r.fill(piece);
            }
            assert_eq!(whole, pieces);
            assert_eq!(hex(&whole[..16]), first);
            assert_eq!(hex(&whole[984..1016]), later);
        }
    }
}
