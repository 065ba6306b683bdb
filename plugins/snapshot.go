package plugins

import (
	"bytes"
	"slices"
)

// snapshot is the state of an instance before it saw anybody's data: linear
// memory and mutable globals. Tables are not part of it: the loader lets
// nothing change one.
type snapshot struct {
	memory  []byte
	globals []uint64
}

const dirtyPage = 4 << 10 // granularity of restoring

func (i *instance) state() snapshot {
	s := snapshot{globals: make([]uint64, len(i.globals))}
	s.memory, _ = i.mod.Memory().Read(0, i.mod.Memory().Size())
	for n, g := range i.globals {
		s.globals[n] = g.Get()
	}
	return s
}

func (s *snapshot) equal(o snapshot) bool {
	return bytes.Equal(s.memory, o.memory) && slices.Equal(s.globals, o.globals)
}

func (s snapshot) clone() *snapshot {
	return &snapshot{bytes.Clone(s.memory), s.globals}
}

// reset makes the instance what it was when it was new. It cannot if the
// memory has grown: memory does not shrink, and an allocator that finds more
// than it knows of asks for more again.
func (i *instance) reset() bool {
	memory, clean := i.state().memory, i.clean.memory
	if len(memory) != len(clean) {
		return false
	}
	for at := 0; at < len(clean); at += dirtyPage {
		end := min(at+dirtyPage, len(clean))
		if !bytes.Equal(memory[at:end], clean[at:end]) {
			copy(memory[at:end], clean[at:end])
		}
	}
	for n, g := range i.globals {
		g.Set(i.clean.globals[n])
	}
	return true
}
