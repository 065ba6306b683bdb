package store_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
)

// kept is a record as this release has it.
type kept struct {
	Name string `json:"name"`
}

// put stores plain text as a record of kind grant, as any release might.
func put(t *testing.T, d *memory.Driver, ring *seal.Keyring, plain string) []byte {
	t.Helper()
	sealed := ring.Seal(seal.Purpose{Use: "grant", Tenant: "octo", Record: "1"}, []byte(plain))
	if err := d.Swap(t.Context(), "grant/octo/1", nil, sealed, time.Hour); err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestNewerFormatIsNeitherRewrittenNorDeleted(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(*testing.T, *store.Collection[kept]) error{
		"Get": func(t *testing.T, c *store.Collection[kept]) error {
			_, err := c.Get(t.Context(), "octo", "1")
			return err
		},
		"Update": func(t *testing.T, c *store.Collection[kept]) error {
			_, err := c.Update(t.Context(), "octo", "1", func(*kept) (time.Duration, error) { return time.Hour, nil })
			return err
		},
		"Update to nothing": func(t *testing.T, c *store.Collection[kept]) error {
			_, err := c.Update(t.Context(), "octo", "1", func(*kept) (time.Duration, error) { return 0, store.Delete })
			return err
		},
		"Upsert": func(t *testing.T, c *store.Collection[kept]) error {
			_, err := c.Upsert(t.Context(), "octo", "1", func(*kept) (time.Duration, error) { return time.Hour, nil })
			return err
		},
		"Delete": func(t *testing.T, c *store.Collection[kept]) error { return c.Delete(t.Context(), "octo", "1") },
		"Take": func(t *testing.T, c *store.Collection[kept]) error {
			_, err := c.Take(t.Context(), "octo", "1")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, ring := &memory.Driver{}, newRing(t)
			sealed := put(t, d, ring, `{"format":2,"name":7,"more":[1]}`+"\x00binary")
			err := act(t, store.NewCollection[kept](d, ring, "grant"))
			newer, ok := errors.AsType[*store.NewerError](err)
			if !ok || newer.Kind != "grant" || newer.Format != 2 || newer.Known != 1 || errors.Is(err, store.ErrUnreadable) || errors.Is(err, store.ErrNotFound) {
				t.Fatalf("%v, want a NewerError", err)
			}
			told := oauth.AsError(oauth.Unavailable(err))
			if told.StatusCode() != http.StatusServiceUnavailable || told.RetryAfter <= 0 || !strings.Contains(told.Description, "format 2") {
				t.Errorf("the client is told %v", told)
			}
			if now, err := d.Get(t.Context(), "grant/octo/1"); err != nil || !bytes.Equal(now, sealed) {
				t.Errorf("the record is changed or gone: %v", err)
			}
		})
	}
}

func TestRecordsCarryTheirFormat(t *testing.T) {
	t.Parallel()
	d, ring := &memory.Driver{}, newRing(t)
	c := store.NewCollection[kept](d, ring, "grant")
	put(t, d, ring, `{"name":"ada","dropped":1}`) // as releases without formats wrote it
	if v, err := c.Get(t.Context(), "octo", "1"); err != nil || v.Name != "ada" {
		t.Fatalf("a record without format: %+v, %v", v, err)
	}
	if _, err := c.Update(t.Context(), "octo", "1", func(*kept) (time.Duration, error) { return time.Hour, nil }); err != nil {
		t.Fatal(err)
	}
	sealed, err := d.Get(t.Context(), "grant/octo/1")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := ring.Open(seal.Purpose{Use: "grant", Tenant: "octo", Record: "1"}, sealed)
	if want := `{"format":1,"name":"ada"}`; err != nil || string(plain) != want {
		t.Errorf("stored %s, %v; want %s", plain, err, want)
	}
}

func TestDeleteLeavesWhatANewerReleaseWroteMeanwhile(t *testing.T) {
	t.Parallel()
	d, ring := &memory.Driver{}, newRing(t)
	old := put(t, d, ring, `{"name":"ada"}`)
	newer := ring.Seal(seal.Purpose{Use: "grant", Tenant: "octo", Record: "1"}, []byte(`{"format":2}`))
	first := true
	h := &hooked{Driver: d, beforeSwap: func() {
		if first {
			first = false
			if err := d.Swap(t.Context(), "grant/octo/1", old, newer, time.Hour); err != nil {
				t.Error(err)
			}
		}
	}}
	c := store.NewCollection[kept](h, ring, "grant")
	err := c.Delete(t.Context(), "octo", "1")
	if _, ok := errors.AsType[*store.NewerError](err); !ok {
		t.Errorf("%v, want a NewerError", err)
	}
	if now, err := d.Get(t.Context(), "grant/octo/1"); err != nil || !bytes.Equal(now, newer) {
		t.Errorf("the newer record is gone: %v", err)
	}
}

func TestCheckFormatOfARecord(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	tenantless := seal.Purpose{Use: "jti", Record: "1"}
	of := seal.Purpose{Use: "grant", Tenant: "octo", Record: "1"}
	for name, tc := range map[string]struct {
		key   string
		value []byte
		want  int // format that is refused; 0: none
	}{
		"own format":    {"grant/octo/1", ring.Seal(of, []byte(`{"format":1}`)), 0},
		"no format":     {"grant/octo/1", ring.Seal(of, []byte(`{"name":"ada"}`)), 0},
		"newer":         {"grant/octo/1", ring.Seal(of, []byte(`{"format":2}`+"\x00binary")), 2},
		"newer, global": {"jti/1", ring.Seal(tenantless, []byte(`{"format":3}`)), 3},
		"other keys":    {"grant/octo/1", newRing(t).Seal(of, []byte(`{"format":2}`)), 0},
		"other key":     {"replicas", []byte(`{"format":2}`), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := store.CheckFormat(ring, store.Record{Key: tc.key, Value: tc.value})
			newer, refused := errors.AsType[*store.NewerError](err)
			if refused != (tc.want > 0) || refused && newer.Format != tc.want || !refused && err != nil {
				t.Errorf("%v, want format %d refused", err, tc.want)
			}
		})
	}
}
