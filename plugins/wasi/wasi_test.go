package wasi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// memoryModule exports one page of memory and nothing else.
var memoryModule = []byte("\x00asm\x01\x00\x00\x00\x05\x03\x01\x00\x01\x07\x0a\x01\x06memory\x02\x00")

func newCall(t *testing.T) *call {
	t.Helper()
	ctx := t.Context()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { r.Close(ctx) })
	mod, err := r.Instantiate(ctx, memoryModule)
	if err != nil {
		t.Fatal(err)
	}
	return &call{NewSystem(time.Unix(1000, 0), [32]byte{1}, NewLog(64)), mod.Memory(), nil}
}

// do calls a function by its name as a guest would.
func (c *call) do(t *testing.T, name string, args ...uint64) uint32 {
	t.Helper()
	for _, f := range functions() {
		if f.name == name {
			return f.do(&call{c.System, c.mem, append(args, 0)})
		}
	}
	t.Fatalf("no function %s", name)
	return 0
}

func (c *call) time(t *testing.T, clock uint64) int64 {
	t.Helper()
	if errno := c.do(t, "clock_time_get", clock, 0, 64); errno != success {
		t.Fatalf("clock %d: errno %d", clock, errno)
	}
	v, _ := c.mem.ReadUint64Le(64)
	return int64(v)
}

func TestEveryNameOfPreview1WithItsSignature(t *testing.T) {
	ctx := t.Context()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	want, err := wasi_snapshot_preview1.NewBuilder(r).Compile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, err := builder(r).Compile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.ExportedFunctions()) != len(want.ExportedFunctions()) || len(functions()) < 45 {
		t.Errorf("%d functions, want %d", len(got.ExportedFunctions()), len(want.ExportedFunctions()))
	}
	for name, w := range want.ExportedFunctions() {
		g, ok := got.ExportedFunctions()[name]
		if !ok {
			t.Errorf("%s is missing", name)
		} else if !bytes.Equal(g.ParamTypes(), w.ParamTypes()) || !bytes.Equal(g.ResultTypes(), w.ResultTypes()) {
			t.Errorf("%s has another signature", name)
		}
	}
}

func TestClockStandsStillAndSleepMovesIt(t *testing.T) {
	c := newCall(t)
	if w, m := c.time(t, 0), c.time(t, 1); w != 1000e9 || m != firstReading {
		t.Fatalf("clocks start at %d and %d", w, m)
	}
	if c.time(t, 1) != firstReading {
		t.Error("reading the clock moved it")
	}
	sub := func(at int, id uint64, kind byte, timeout time.Duration, flags uint16) {
		b := make([]byte, subscriptionSize)
		binary.LittleEndian.PutUint64(b, id)
		b[8] = kind
		binary.LittleEndian.PutUint32(b[16:], 1)
		binary.LittleEndian.PutUint64(b[24:], uint64(timeout))
		binary.LittleEndian.PutUint16(b[40:], flags)
		c.mem.Write(uint32(at), b)
	}
	sub(1024, 7, eventClock, time.Hour, 0)
	sub(1024+subscriptionSize, 8, eventClock, 2*time.Second, 0)
	if errno := c.do(t, "poll_oneoff", 1024, 2048, 2, 128); errno != success {
		t.Fatal(errno)
	}
	n, _ := c.mem.ReadUint32Le(128)
	id, _ := c.mem.ReadUint64Le(2048)
	if n != 1 || id != 8 {
		t.Errorf("%d events, the first of subscription %d; want one of 8", n, id)
	}
	if w, m := c.time(t, 0), c.time(t, 1); w != 1002e9 || m != firstReading+2e9 {
		t.Errorf("after two seconds the clocks read %d and %d", w, m)
	}
	sub(1024, 9, 1, 0, 0)
	c.do(t, "poll_oneoff", 1024, 2048, 1, 128)
	if errno, _ := c.mem.ReadUint16Le(2048 + 8); errno != badf {
		t.Errorf("descriptor event has errno %d", errno)
	}
	sub(1024, 10, eventClock, -1, 0) // as unsigned: for ever
	c.do(t, "poll_oneoff", 1024, 2048, 1, 128)
	c.do(t, "poll_oneoff", 1024, 2048, 1, 128)
	if w := c.time(t, 0); w < 0 {
		t.Errorf("the clock overflowed to %d", w)
	}
}

func TestRandomIsTheSeeds(t *testing.T) {
	read := func(seed byte) []byte {
		c := newCall(t)
		c.System = NewSystem(time.Unix(0, 0), [32]byte{seed}, NewLog(1))
		if errno := c.do(t, "random_get", 0, 40); errno != success {
			t.Fatal(errno)
		}
		b, _ := c.mem.Read(0, 40)
		return slices.Clone(b)
	}
	if !bytes.Equal(read(1), read(1)) || bytes.Equal(read(1), read(2)) {
		t.Error("random bytes are not a function of the seed")
	}
}

func TestOutputGoesToTheLogOnly(t *testing.T) {
	c := newCall(t)
	c.mem.Write(512, []byte("one\x1b\ntwo\n"))
	c.mem.WriteUint32Le(256, 512)
	c.mem.WriteUint32Le(260, 9)
	if errno := c.do(t, "fd_write", 2, 256, 1, 300); errno != success {
		t.Fatal(errno)
	}
	if n, _ := c.mem.ReadUint32Le(300); n != 9 {
		t.Errorf("wrote %d", n)
	}
	if errno := c.do(t, "fd_write", 3, 256, 1, 300); errno != badf {
		t.Errorf("descriptor 3: errno %d", errno)
	}
	if lines, lost := c.log.Lines(); lost || !slices.Equal(lines, []string{"one", "two"}) {
		t.Errorf("log %q, lost %v", lines, lost)
	}
}

func TestPointersOutsideMemoryAreFaults(t *testing.T) {
	c := newCall(t)
	const out = 1 << 20
	tests := map[string][]uint64{
		"args_sizes_get": {out, out},
		"clock_time_get": {0, 0, out},
		"random_get":     {0, out},
		"fd_write":       {1, out, 1, 0},
		"fd_fdstat_get":  {1, out},
		"poll_oneoff":    {0, 0, 1 << 31, 0},
	}
	for name, args := range tests {
		if errno := c.do(t, name, args...); errno != fault {
			t.Errorf("%s: errno %d", name, errno)
		}
	}
	for _, name := range []string{"path_open", "fd_read", "fd_prestat_get", "sock_send"} {
		if errno := c.do(t, name, make([]uint64, 9)...); errno != badf {
			t.Errorf("%s: errno %d", name, errno)
		}
	}
}

func TestExitEndsTheGuest(t *testing.T) {
	defer func() {
		var exit *Exit
		if err, _ := recover().(error); !errors.As(err, &exit) || exit.Code != 3 {
			t.Errorf("got %v", err)
		}
	}()
	newCall(t).do(t, "proc_exit", 3)
}

func TestLogKeepsTheEnd(t *testing.T) {
	l := NewLog(64)
	for range 10_000 {
		l.Write([]byte("a line of log\n"))
	}
	l.Write([]byte("last\n"))
	lines, lost := l.Lines()
	if !lost || len(l.buf) > 64 || lines[len(lines)-1] != "last" || lines[0] != "a line of log" {
		t.Errorf("%q, lost %v, %d bytes", lines, lost, len(l.buf))
	}
	l.Write([]byte(strings.Repeat("x", 1000)))
	if len(l.buf) != 64 {
		t.Errorf("%d bytes kept", len(l.buf))
	}
}
