package redis

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// A store in another mode than its URL says is noticed before anything is
// served, and the error says what to write.
func TestStartCheckSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	p := storetest.Debian(t)
	plain := p.Start(t)
	cluster := p.StartCluster(t, 5*time.Second)
	group := p.StartSentinels(t, "main", "", time.Second)
	replica := group.Servers[1]
	for name, tt := range map[string]struct{ url, want string }{
		"a node of a cluster":   {"redis://" + cluster[0].Addr, "redis+cluster://"},
		"no cluster":            {"redis+cluster://" + plain.Addr, "write redis:// "},
		"a replica":             {"redis://" + replica.Addr, "name the primary"},
		"a sentinel":            {"redis://" + group.Sentinels[0].Addr, "write redis+sentinel://HOST"},
		"no sentinel":           {"redis+sentinel://" + plain.Addr + "/main", "write redis:// "},
		"an unknown master":     {"redis+sentinel://" + group.Sentinels[0].Addr + "/other", `no master named "other"`},
		"no TLS":                {"rediss://" + plain.Addr, "write redis instead of rediss"},
		"as it is":              {"redis://" + plain.Addr, ""},
		"the cluster as it is":  {"redis+cluster://" + cluster[0].Addr, ""},
		"sentinels as they are": {"redis+sentinel://" + group.Sentinels[0].Addr + "/main", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := Open(t.Context(), tt.url)
			if err == nil {
				t.Cleanup(func() { _ = d.Close() })
				_, err = store.Prove(t.Context(), d)
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

func TestStartCheckWarnsOfEvictionAndPersistence(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		settings []string
		want     []string // parts of the warnings, in order
	}{
		"as documented": {[]string{"--appendonly", "yes"}, nil},
		"evicting":      {[]string{"--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"}, []string{"maxmemory-policy allkeys-lru"}},
		"forgetful":     {nil, []string{"appendonly no"}},
		"INFO refused":  {[]string{"--appendonly", "yes", "--rename-command", "INFO", ""}, []string{"allow its user +info"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustOpen(t, "redis://"+storetest.StartRedis(t, tt.settings...).Addr)
			warnings, err := store.Prove(t.Context(), d)
			if err != nil || len(warnings) != len(tt.want) {
				t.Fatalf("%q, %v", warnings, err)
			}
			for i, want := range tt.want {
				if !strings.Contains(warnings[i], want) {
					t.Errorf("%q; want %q", warnings[i], want)
				}
			}
		})
	}
}
