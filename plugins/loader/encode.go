package loader

import "encoding/binary"

func appendU32(b []byte, v uint32) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendSized(b, body []byte) []byte {
	return append(appendU32(b, uint32(len(body))), body...)
}

func appendSigned(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

// appendSection writes a section of n items; one without items is left out.
func appendSection(b []byte, id byte, n int, items []byte) []byte {
	if n == 0 {
		return b
	}
	count := appendU32(nil, uint32(n))
	b = appendU32(append(b, id), uint32(len(count)+len(items)))
	return append(append(b, count...), items...)
}

// with is an instruction with one index.
func with(b []byte, op byte, index uint32) []byte { return appendU32(append(b, op), index) }
