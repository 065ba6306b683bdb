package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store/storetest"
)

// listener runs Listen and keeps what it heard.
type listener struct {
	heard chan string
	ended chan error
}

// listen returns once d listens.
func listen(t *testing.T, d *Driver) *listener {
	t.Helper()
	l := &listener{heard: make(chan string, 16), ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { l.ended <- d.Listen(ctx, func(key string) { l.heard <- key }) })
	t.Cleanup(func() { stop(); done.Wait() })
	l.want(t, "")
	return l
}

// want fails unless the next that is heard is key.
func (l *listener) want(t *testing.T, key string) {
	t.Helper()
	select {
	case got := <-l.heard:
		if got != key {
			t.Fatalf("heard %q, want %q", got, key)
		}
	case err := <-l.ended:
		t.Fatalf("stopped listening: %v", err)
	case <-time.After(time.Minute):
		t.Fatalf("heard nothing, want %q", key)
	}
}

// end fails unless Listen returns with an error.
func (l *listener) end(t *testing.T) {
	t.Helper()
	select {
	case err := <-l.ended:
		if err == nil {
			t.Error("it stopped listening without an error")
		}
	case <-time.After(time.Minute):
		t.Error("it does not notice that it hears nothing")
	}
}

func TestAnnouncementsReachAllProcesses(t *testing.T) {
	const never = time.Minute
	for _, p := range storetest.Programs(t, venv) {
		for name, start := range map[string]func(t *testing.T) (here, there string){
			"standalone": func(t *testing.T) (string, string) {
				url := "redis://" + p.Start(t).Addr
				return url, url
			},
			"sentinel": func(t *testing.T) (string, string) {
				g := p.StartSentinels(t, "main", "", never)
				return "redis+sentinel://" + g.Sentinels[0].Addr + "/main", "redis+sentinel://" + g.Sentinels[1].Addr + "/main"
			},
			"cluster": func(t *testing.T) (string, string) {
				nodes := p.StartCluster(t, never)
				return "redis+cluster://" + nodes[0].Addr, "redis+cluster://" + nodes[1].Addr
			},
		} {
			t.Run(p.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				here, there := start(t)
				a, b, other := mustOpen(t, here), mustOpen(t, there), mustOpen(t, here+"?prefix=other:")
				atA, atB, atOther := listen(t, a), listen(t, b), listen(t, other)
				for _, announce := range []struct {
					by  *Driver
					key string
				}{{a, "grant/music/1"}, {b, "grant/music/2"}} {
					if err := announce.by.Announce(t.Context(), announce.key); err != nil {
						t.Fatal(err)
					}
					atA.want(t, announce.key)
					atB.want(t, announce.key)
				}
				if err := other.Announce(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
				atOther.want(t, "k")
				if len(atA.heard)+len(atB.heard) > 0 {
					t.Error("a store of another prefix was heard")
				}
			})
		}
	}
}

func TestListenEndsWhenItMayMissSomething(t *testing.T) {
	for name, disturb := range map[string]func(*storetest.Redis){
		"server dies":          (*storetest.Redis).Stop,
		"server says no more":  (*storetest.Redis).Freeze, // the connection stands
		"connection is closed": func(r *storetest.Redis) { r.Stop(); r.Start() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := storetest.StartRedis(t)
			d := mustOpen(t, "redis://"+server.Addr)
			d.silence = 50 * time.Millisecond
			l := listen(t, d)
			disturb(server)
			l.end(t)
		})
	}
}

func TestListenerThatHearsNothingForLongStays(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	d := mustOpen(t, "redis://"+server.Addr)
	d.silence = time.Second // a busy server answers by then
	l := listen(t, d)
	for asked := pings(t, d); pings(t, d) < asked+3; { // with an answer each time, or it would have ended
		time.Sleep(d.silence / 10)
	}
	if err := d.Announce(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	l.want(t, "k")
}

// pings is how often a server was asked whether it is there.
func pings(t *testing.T, d *Driver) (n int) {
	t.Helper()
	stats, err := d.client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	if _, after, ok := strings.Cut(stats, "cmdstat_ping:calls="); ok {
		_, err = fmt.Sscanf(after, "%d", &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A user who may not announce uses the store all the same.
func TestListenSaysThatItMayNot(t *testing.T) {
	t.Parallel()
	const user = "--user gate on >secret ~sallyport:* resetchannels -@all +get +subscribe +publish"
	server := storetest.StartRedis(t, strings.Fields(user)...)
	d := mustOpen(t, "redis://gate:secret@"+server.Addr)
	for op, err := range map[string]error{"Listen": d.Listen(t.Context(), func(string) {}), "Announce": d.Announce(t.Context(), "k")} {
		if err == nil || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("%s: %v", op, err)
		}
	}
}
