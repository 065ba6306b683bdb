package loader

import (
	"cmp"
	"slices"
)

// gap is how many zeros between two data segments are written out to make one
// of them.
const gap = 64

// merged returns the data segments as few ones with the same effect. The
// engine takes its time by the segment and Go writes tens of thousands.
// Segments that code can name by index stay as they are, and so do segments
// that overlap, as the later one wins.
func (m *module) merged() []segment {
	if m.usesData || slices.ContainsFunc(m.data, func(s segment) bool { return !s.active }) {
		return m.data
	}
	sorted := slices.DeleteFunc(slices.Clone(m.data), func(s segment) bool { return len(s.bytes) == 0 })
	slices.SortStableFunc(sorted, func(a, b segment) int { return cmp.Compare(a.offset, b.offset) })
	var out []segment
	end := uint32(0) // of the last segment in out
	for i, s := range sorted {
		switch {
		case i > 0 && s.offset < end:
			return m.data
		case i > 0 && s.offset-end <= gap:
			last := &out[len(out)-1]
			last.bytes = append(append(last.bytes, make([]byte, s.offset-end)...), s.bytes...)
		default:
			// Clipped when read: the first append copies.
			out = append(out, s)
		}
		end = s.offset + uint32(len(s.bytes))
	}
	return out
}
