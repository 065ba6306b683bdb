package wasi

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

func (c *call) random() uint32 {
	b, ok := c.mem.Read(c.u32(0), c.u32(1))
	if !ok {
		return fault
	}
	_, _ = c.rand.Read(b) // never fails
	return success
}

func isOutput(fd uint32) bool { return fd == 1 || fd == 2 }

// fdStat describes the outputs as character devices that can be written.
func (c *call) fdStat() uint32 {
	if !isOutput(c.u32(0)) {
		return badf
	}
	const characterDevice, rightToWrite = 2, 1 << 6
	stat := make([]byte, 24)
	stat[0], stat[8] = characterDevice, rightToWrite
	return c.put(c.u32(1), stat)
}

func (c *call) fdSeek() uint32 {
	if isOutput(c.u32(0)) {
		return spipe
	}
	return badf
}

func (c *call) fdWrite() uint32 {
	if !isOutput(c.u32(0)) {
		return badf
	}
	var written uint32
	for i := range c.u32(2) {
		at, ok1 := c.mem.ReadUint32Le(c.u32(1) + i*8)
		n, ok2 := c.mem.ReadUint32Le(c.u32(1) + i*8 + 4)
		b, ok3 := c.mem.Read(at, n)
		if !ok1 || !ok2 || !ok3 {
			return fault
		}
		_, _ = c.log.Write(b) // never fails
		written += n
	}
	return c.putU32(c.u32(3), written)
}

// Log keeps the end of what a guest printed.
type Log struct {
	limit int
	buf   []byte
	lost  bool
}

// NewLog returns a log of at most limit bytes.
func NewLog(limit int) *Log { return &Log{limit: limit} }

// Write appends p and forgets what stood first once the limit is passed.
func (l *Log) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > l.limit {
		p, l.lost = p[len(p)-l.limit:], true
	}
	if over := len(l.buf) + len(p) - l.limit; over > 0 {
		l.buf, l.lost = append(l.buf[:0], l.buf[over:]...), true
	}
	l.buf = append(l.buf, p...)
	return n, nil
}

// Lines returns what is kept, without the first line if its beginning is lost,
// and tells whether anything is lost. Control characters become spaces.
func (l *Log) Lines() (lines []string, lost bool) {
	b := l.buf
	if l.lost {
		if _, rest, ok := bytes.Cut(b, []byte("\n")); ok {
			b = rest
		}
	}
	for line := range strings.Lines(string(b)) {
		if line = clean(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, l.lost
}

func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s))
}
