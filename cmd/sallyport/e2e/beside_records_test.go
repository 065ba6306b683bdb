package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
	"github.com/sallyport/sallyport/core/store/redis"
)

// records are the JSON members of every stored grant, by key.
type records map[string]map[string]json.RawMessage

// What a release may do with the members of a grant.
var (
	// passing members come and go by what happens to the grant, and the last by
	// whether the module in use names its upstream.
	passing = []string{"challenge", "lease", "setback", "journal", "upstream_former"}
	// newer members are those that an older release does not know: it drops them
	// when it writes the record.
	newer = []string{"format", "upstream", "proof", "repeats", "login_reason"}
	// steady members never change their value.
	steady = []string{"created", "client", "client_name", "redirect_uri", "resource", "scopes", "sub", "account"}
)

// compare reads what the step left in the store and fails for every grant of
// before that is gone, every member that was lost, and every value that must not
// have changed.
func (d *deployment) compare(ctx context.Context, step []string, what string) {
	d.t.Helper()
	before := d.records
	d.records = d.read(ctx)
	oldWrote := slices.ContainsFunc(step, func(name string) bool { return d.isOld[name] })
	dropped := map[string]int{}
	for key, was := range before {
		is, there := d.records[key]
		if !there {
			d.t.Errorf("%s: %s is gone", what, key)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(was)) {
			_, there := is[name]
			switch {
			case there && slices.Contains(steady, name) && !bytes.Equal(was[name], is[name]):
				d.t.Errorf("%s: %s: %s was %s and is %s", what, key, name, was[name], is[name])
			case there, slices.Contains(passing, name):
			case oldWrote && slices.Contains(newer, name):
				dropped[name]++
			default:
				d.t.Errorf("%s: %s: the member %s is lost", what, key, name)
			}
		}
	}
	marked := 0
	for key, is := range d.records {
		if is["upstream"] != nil {
			marked++
		} else if !oldWrote {
			d.t.Errorf("%s: %s does not name its upstream", what, key)
		}
	}
	d.t.Logf("%s: %d grants, %d name their upstream; members dropped by the older release: %s", what, len(d.records), marked, counts(dropped))
}

// read opens every grant in the store. For a bolt file the process that holds it
// is stopped.
func (d *deployment) read(ctx context.Context) records {
	d.t.Helper()
	ring, err := seal.NewKeyring(d.key)
	if err != nil {
		d.t.Fatal(err)
	}
	var driver store.Driver
	if file, isFile := strings.CutPrefix(d.store, "bolt://"); isFile {
		for _, g := range d.serving {
			g.stop()
		}
		driver, err = bolt.Open(ctx, bolt.Config{Path: file})
	} else {
		driver, err = redis.Open(ctx, d.store)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	defer driver.Close()
	found := records{}
	err = driver.Scan(ctx, "grant/", func(key string) error {
		sealed, err := driver.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		names := strings.Split(key, "/")
		plain, err := ring.Open(seal.Purpose{Use: names[0], Tenant: names[1], Record: names[2]}, sealed)
		if err != nil {
			return err
		}
		members := map[string]json.RawMessage{}
		found[key] = members
		return json.NewDecoder(bytes.NewReader(plain)).Decode(&members) // what follows it is sealed
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return found
}
