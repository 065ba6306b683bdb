package loader

import (
	"fmt"
	"unicode/utf8"
)

// reader reads the binary format. The first fault sticks: after it every read
// returns zero, so that callers look at err once.
type reader struct {
	b    []byte
	pos  int
	base int // offset of b in the module, for messages
	err  error
}

func (r *reader) offset() int { return r.base + r.pos }

func (r *reader) more() bool { return r.err == nil && r.pos < len(r.b) }

// fail records a fault in what stands at the reader's place.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("the module is malformed at byte %d: %s", r.offset(), fmt.Sprintf(format, args...))
	}
}

// refuse records that a limit or rule of ours is broken.
func (r *reader) refuse(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) byte() byte {
	if r.err != nil || r.pos >= len(r.b) {
		r.fail("it ends early")
		return 0
	}
	b := r.b[r.pos]
	r.pos++
	return b
}

// take reads n bytes without copying them.
func (r *reader) take(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)-r.pos) {
		r.fail("%d bytes should follow, there are fewer", n)
		return nil
	}
	b := r.b[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b
}

// sub is a reader of the next n bytes.
func (r *reader) sub(n uint32) *reader {
	base := r.offset()
	return &reader{b: r.take(n), base: base, err: r.err}
}

// finish returns the first fault; bytes left over are one.
func (r *reader) finish() error {
	if r.more() {
		r.fail("%d bytes are left over", len(r.b)-r.pos)
	}
	return r.err
}

// unsigned reads an unsigned LEB128 number of the given bits.
func (r *reader) unsigned(bits uint) uint64 {
	var v uint64
	for shift := uint(0); shift < bits; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if rest := bits - shift; rest < 7 && b&0x7f>>rest != 0 || rest <= 7 && b&0x80 != 0 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return v
		}
	}
	r.fail("a number is longer than %d bits", bits)
	return 0
}

func (r *reader) u32() uint32 { return uint32(r.unsigned(32)) }

// signed reads a signed LEB128 number of the given bits.
func (r *reader) signed(bits uint) int64 {
	var v int64
	for shift := uint(0); shift < bits; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if rest := bits - shift; rest < 7 { // the bits past the number repeat its sign
			if high := int8(b<<1) >> rest; b&0x80 != 0 || high != 0 && high != -1 {
				break
			}
		}
		v |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			if shift+7 < 64 {
				v = v << (64 - shift - 7) >> (64 - shift - 7)
			}
			return v
		}
	}
	r.fail("a number is longer than %d bits", bits)
	return 0
}

// count reads the length of a vector whose items take at least size bytes
// each, so that nothing is allocated for items that are not there.
func (r *reader) count(what string, size, limit int) int {
	n := r.u32()
	if r.err == nil && uint64(n) > uint64(limit) {
		r.refuse("the module has %d %s, at most %d may be", n, what, limit)
	}
	if r.err == nil && uint64(n)*uint64(size) > uint64(len(r.b)-r.pos) {
		r.fail("%d %s should follow, there is no room for them", n, what)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	b := r.take(r.u32())
	if !utf8.Valid(b) {
		r.fail("a name is not UTF-8")
		return ""
	}
	return string(b)
}

// index reads an index into a space of n things.
func (r *reader) index(what string, n int) uint32 {
	i := r.u32()
	if r.err == nil && uint64(i) >= uint64(n) {
		r.fail("%s %d does not exist, there are %d", what, i, n)
		return 0
	}
	return i
}

// only reads the index of the one memory or table where WebAssembly 2.0 has an
// index (§5.4.1, §5.5.12, §5.5.14): a LEB128, which linkers pad.
func (r *reader) only(what string) {
	if i := r.u32(); r.err == nil && i != 0 {
		r.fail("it names %s %d, there is one at most", what, i)
	}
}

// zero reads the byte 0 that stands where a later version of WebAssembly names a
// memory (§5.4.6).
func (r *reader) zero(what string) {
	if b := r.byte(); b != 0 {
		r.fail("it names %s %d, there is one at most", what, b)
	}
}
