package bolt

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// event is a system call of a traced process that has to do with its store.
type event struct {
	kind   kind
	file   int    // what it was done to, whatever its name
	offset int64  // of a write; the new size of a resize
	data   []byte // of a write
	name   string // of a link
	line   string // that was printed
}

type kind int

const (
	write kind = iota
	resize
	syncFile
	link
	syncDir
	printed
)

// trace runs a program under strace and returns what it did to the files in a
// folder, and what it printed, in the order in which it happened.
func trace(t *testing.T, dir string, cmd *exec.Cmd) []event {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("this test watches what is written when: make need-strace installs it")
	}
	file := filepath.Join(t.TempDir(), "trace")
	cmd.Args = append([]string{strace, "-f", "--seccomp-bpf", "-qq", "-xx", "-s", strconv.Itoa(1 << 22), "-e", "signal=none", "-o", file,
		"-e", "trace=openat,close,write,pwrite64,ftruncate,fsync,fdatasync,linkat,unlinkat", "--"}, cmd.Args...)
	cmd.Path, cmd.Stderr = strace, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("strace: %v; the kernel may not let it", err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := reader{dir: dir, unfinished: map[string]string{}, names: map[string]int{}, open: map[string]int{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<25)
	for lines.Scan() {
		if err := r.line(lines.Text()); err != nil {
			t.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return r.events
}

// reader makes events of strace's lines.
type reader struct {
	dir        string
	unfinished map[string]string // the begun line of each thread
	names      map[string]int    // files in the folder, by path
	files      int
	open       map[string]int // files by descriptor; -1 is the folder
	events     []event
}

var (
	resumed = regexp.MustCompile(`^<\.\.\. \w+ resumed>(.*)$`)
	call    = regexp.MustCompile(`^(\w+)\((.*)\)\s+= (-?\d+)`)
)

func (r *reader) line(line string) error {
	thread, text, _ := strings.Cut(line, " ")
	text = strings.TrimSpace(text)
	if begun, ok := strings.CutSuffix(text, "<unfinished ...>"); ok {
		r.unfinished[thread] = strings.TrimRight(begun, " ")
		return nil
	}
	if m := resumed.FindStringSubmatch(text); m != nil {
		text = r.unfinished[thread] + m[1]
	}
	m := call.FindStringSubmatch(text)
	if m == nil || strings.HasPrefix(m[3], "-") {
		return nil // an exit, or a call that failed
	}
	args := strings.Split(m[2], ", ")
	file, ours := r.open[args[0]]
	switch m[1] {
	case "openat":
		return r.opened(args, m[3])
	case "close":
		delete(r.open, args[0])
	case "linkat":
		from, to := unhex(args[1]), unhex(args[3])
		r.names[string(to)] = r.names[string(from)]
		r.events = append(r.events, event{kind: link, file: r.names[string(to)], name: string(to)})
	case "unlinkat":
		delete(r.names, string(unhex(args[1])))
	case "write":
		if args[0] == "1" {
			r.events = append(r.events, event{kind: printed, line: strings.TrimSpace(string(unhex(args[1])))})
		} else if ours {
			return fmt.Errorf("a write without a place: %.100s", line)
		}
	case "pwrite64":
		if offset, err := strconv.ParseInt(args[3], 10, 64); ours {
			r.events = append(r.events, event{kind: write, file: file, offset: offset, data: unhex(args[1])})
			return err
		}
	case "ftruncate":
		if size, err := strconv.ParseInt(args[1], 10, 64); ours {
			r.events = append(r.events, event{kind: resize, file: file, offset: size})
			return err
		}
	case "fsync", "fdatasync":
		switch {
		case ours && file == -1:
			r.events = append(r.events, event{kind: syncDir})
		case ours:
			r.events = append(r.events, event{kind: syncFile, file: file})
		}
	}
	return nil
}

func (r *reader) opened(args []string, descriptor string) error {
	path := string(unhex(args[1]))
	switch file, known := r.names[path]; {
	case path == r.dir:
		r.open[descriptor] = -1
	case filepath.Dir(path) != r.dir:
		delete(r.open, descriptor)
	case known:
		r.open[descriptor] = file
	case strings.Contains(args[2], "O_CREAT"):
		r.files++
		r.names[path], r.open[descriptor] = r.files, r.files
	default:
		return fmt.Errorf("%s was opened and nobody made it", path)
	}
	return nil
}

// unhex decodes a text as strace -xx writes it: "\x41\x42".
func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Trim(text, `"`), `\x`, ""))
	if err != nil {
		panic(err) // "…" of a text that was too long, for instance
	}
	return b
}
