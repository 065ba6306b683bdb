package gateway

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestKeptBodiesAreCounted(t *testing.T) {
	t.Parallel()
	b := newBodies()
	keep := func(login, tenant string, size int) (*kept, bool) {
		k := &kept{bodies: b, login: "login " + login, tenant: "tenant " + tenant, users: 1}
		whole, err := k.fill(iotest.HalfReader(strings.NewReader(strings.Repeat("x", size))), int64(size))
		if err != nil {
			t.Fatal(err)
		}
		return k, whole
	}
	for what, size := range map[string]int{"login": maxKeptLogin, "tenant": maxKeptTenant, "all": maxKept} {
		var all []*kept
		for i := 0; ; i++ {
			login, tenant := "a", "t"
			if what != "login" {
				login = string(rune('a' + i))
			}
			if what == "all" {
				tenant = string(rune('a' + i))
			}
			k, whole := keep(login, tenant, maxBody)
			if all = append(all, k); !whole {
				break
			}
		}
		if n := (len(all) - 1) * maxBody; n > size || n < size*9/10-maxBody {
			t.Errorf("%s: %d bytes are kept, of %d", what, n, size)
		}
		for _, k := range all {
			k.leave()
		}
		if b.total != 0 || len(b.by) != 0 {
			t.Fatalf("%s: %d bytes are counted after the end, %v", what, b.total, b.by)
		}
	}
}

func TestKeptBodyIsReadSeveralTimesAndGivenUp(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 511, 512, 513, 32 << 10, 33 << 10, maxBody} {
		for _, known := range []bool{true, false} {
			b := newBodies()
			want := bytes.Repeat([]byte("x"), size)
			k := &kept{bodies: b, login: "l", tenant: "t", users: 1}
			length := int64(-1)
			if known {
				length = int64(size)
			}
			if whole, err := k.fill(bytes.NewReader(want), length); !whole || err != nil {
				t.Fatal(size, whole, err)
			}
			first, _ := k.open()
			second, _ := k.open()
			k.leave()
			for _, r := range []io.ReadCloser{first, second} {
				if b.total == 0 {
					t.Errorf("%d: given back with a reader left", size)
				}
				if got, err := io.ReadAll(r); !bytes.Equal(got, want) || err != nil {
					t.Errorf("%d: read %d bytes, %v", size, len(got), err)
				}
				_, _ = r.Close(), r.Close()
			}
			if _, err := k.open(); b.total != 0 || k.b != nil || !errors.Is(err, errGone) {
				t.Errorf("%d: %d bytes are held at the end, %v", size, b.total, err)
			}
		}
	}
}
