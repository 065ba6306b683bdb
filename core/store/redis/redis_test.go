package redis

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// venv has the server programs that Debian has not.
const venv = "../storetest/.venv"

// What the driver promises it keeps on every server and in every arrangement.
func TestDriver(t *testing.T) {
	const never = time.Minute // nothing is taken for dead here
	for _, p := range storetest.Programs(t, venv) {
		t.Run(p.Name+"/standalone", func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, engine("redis://"+p.Start(t).Addr+"/1"))
		})
		t.Run(p.Name+"/sentinel", func(t *testing.T) {
			t.Parallel()
			g := p.StartSentinels(t, "main", "p@ss/word", never)
			storetest.Run(t, engine("redis+sentinel://:p%40ss%2Fword@"+g.Sentinels[0].Addr+","+g.Sentinels[1].Addr+"/main?sentinel_auth=true&db=2"))
		})
		t.Run(p.Name+"/cluster", func(t *testing.T) {
			t.Parallel()
			nodes := p.StartCluster(t, never)
			storetest.Run(t, engine("redis+cluster://"+nodes[0].Addr+","+nodes[1].Addr))
		})
	}
}

// engine tells stores on one server apart by prefix, as in production.
func engine(url string) storetest.Engine {
	return storetest.Engine{Open: func(t *testing.T) store.Driver {
		t.Helper()
		url, prefix, _ := strings.Cut(url, "?prefix=")
		sep := "?"
		if strings.Contains(url, "?") {
			sep = "&"
		}
		return mustOpen(t, url+sep+"prefix="+prefix+"test-*-"+seal.RandomID(6)+":")
	}}
}

func TestPrefixesKeepStoresApart(t *testing.T) {
	url := "redis://" + storetest.StartRedis(t).Addr
	byDefault, ours, theirs, none := mustOpen(t, url), mustOpen(t, url+"?prefix=sallyport:"), mustOpen(t, url+"?prefix=x:"), mustOpen(t, url+"?prefix=")
	if err := byDefault.Swap(t.Context(), "k", nil, []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, err := ours.Get(t.Context(), "k"); err != nil || string(got) != "v" {
		t.Errorf("under the default prefix: %q, %v", got, err)
	}
	if _, err := theirs.Get(t.Context(), "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("under another prefix: %v, want not found", err)
	}
	if got, err := none.Get(t.Context(), "sallyport:k"); err != nil || string(got) != "v" {
		t.Errorf("without a prefix: %q, %v", got, err)
	}
}

// A server that knows no HELLO and no CLIENT, as some that only speak the
// protocol do, is served all the same.
func TestServerThatRefusesTheHandshake(t *testing.T) {
	server := storetest.StartRedis(t, "--requirepass", "token", "--rename-command", "HELLO", "", "--rename-command", "CLIENT", "", "--rename-command", "COMMAND", "")
	if err := useAll(t.Context(), mustOpen(t, "redis://default:token@"+server.Addr)); err != nil {
		t.Error(err)
	}
}

// A script that the server has forgotten is sent again.
func TestForgottenScript(t *testing.T) {
	server := storetest.StartRedis(t)
	d := mustOpen(t, "redis://"+server.Addr)
	for range 2 {
		if err := useAll(t.Context(), d); err != nil {
			t.Error(err)
		}
		ask(t, server.Addr, "", "script", "flush")
	}
}

// What a server refused without running it is sent again; a double stands for
// the server at that moment.
func TestRefusedCommandsAreSentAgain(t *testing.T) {
	server := storetest.StartRedis(t)
	p := startProxy(t, server.Addr)
	d := mustOpen(t, "redis://"+p.addr)
	if err := useAll(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	for _, refusal := range []string{
		"READONLY You can't write against a read only replica.",
		"LOADING Redis is loading the dataset in memory",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		"CLUSTERDOWN The cluster is down",
		"TRYAGAIN Multiple keys request during rehashing of slot",
	} {
		p.answer("evalsha", "-"+refusal+"\r\n")
		if err := d.Swap(t.Context(), "k", nil, []byte("v"), time.Hour); err != nil {
			t.Errorf("Swap: %v", err)
		}
		p.answer("getdel", "-"+refusal+"\r\n")
		if got, err := d.Take(t.Context(), "k"); err != nil || string(got) != "v" {
			t.Errorf("Take: %q, %v", got, err)
		}
	}
	// Of anything else nobody knows.
	p.answer("evalsha", "-ERR something\r\n")
	ordinary(t, "Swap", d.Swap(t.Context(), "k", nil, []byte("v"), time.Hour))
}

func TestNotRun(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{fmt.Errorf("wrapped: %w", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}), true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, false},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, false},
		{io.EOF, false},
		{context.DeadlineExceeded, false},
		{redis.Nil, false},
		{nil, false},
	} {
		if got := notRun(c.err); got != c.want {
			t.Errorf("notRun(%v) = %v", c.err, got)
		}
	}
}

func TestOpenErrorsNameTheServerAndNoPassword(t *testing.T) {
	server := storetest.StartRedis(t, "--requirepass", "right")
	_, err := Open(t.Context(), "redis://:s3cret-wrong@"+server.Addr)
	if err == nil || !strings.Contains(err.Error(), server.Addr) || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("wrong password: %v", err)
	}
	noSecret(t, err)
	server.Stop()
	_, err = Open(t.Context(), "redis://user:s3cret@"+server.Addr)
	if err == nil || !strings.Contains(err.Error(), server.Addr) {
		t.Errorf("server down: %v", err)
	}
	noSecret(t, err)
}

func noSecret(t *testing.T, err error) {
	t.Helper()
	if strings.Contains(fmt.Sprintf("%v %+v", err, err), "s3cret") {
		t.Errorf("the error quotes the password: %v", err)
	}
}

// While the server is down every operation fails as an ordinary error, and
// once it is back the same driver works again, with what was stored.
func TestServerDownAndBack(t *testing.T) {
	server := storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	d := mustOpen(t, "redis://"+server.Addr)
	if err := d.Swap(t.Context(), "k", nil, []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	for op, err := range map[string]error{
		"Get":  result(d.Get(t.Context(), "k")),
		"Swap": d.Swap(t.Context(), "k", []byte("v"), []byte("w"), time.Hour),
		"Take": result(d.Take(t.Context(), "k")),
		"Scan": d.Scan(t.Context(), "", func(string) error { return nil }),
		"Ping": d.Ping(t.Context()),
	} {
		ordinary(t, op, err)
	}
	server.Start()
	// The pool tries a server that refused many connections once a second.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for err := d.Ping(ctx); err != nil; err = d.Ping(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("still no answer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	// The server has forgotten the script, but not the record.
	if err := d.Swap(t.Context(), "k", []byte("v"), []byte("w"), time.Hour); err != nil {
		t.Error(err)
	}
	if got, err := d.Get(t.Context(), "k"); err != nil || string(got) != "w" {
		t.Errorf("Get = %q, %v", got, err)
	}
}

// A server that takes the command and then goes silent, or hangs up, leaves
// open what happened: never is that a conflict or a key not found.
func TestLostAnswersAreOrdinaryErrors(t *testing.T) {
	for name, kind := range map[string]string{"standalone": "redis", "cluster": "redis+cluster"} {
		t.Run(name, func(t *testing.T) {
			var backend *storetest.Redis
			if kind == "redis" {
				backend = storetest.StartRedis(t)
			} else {
				backend = storetest.StartRedis(t, "--cluster-enabled", "yes")
			}
			p := startProxy(t, backend.Addr)
			if kind != "redis" {
				oneNodeCluster(t, backend.Addr, p.addr)
			}
			direct := mustOpen(t, "redis://"+backend.Addr)
			d := mustOpen(t, kind+"://"+p.addr)
			value := []byte("v")
			if err := d.Swap(t.Context(), "warm", nil, value, time.Hour); err != nil { // the server has the script now
				t.Fatal(err)
			}

			p.swallow("evalsha")
			ordinary(t, "creation", d.Swap(t.Context(), "created", nil, value, time.Hour))
			if got, err := direct.Get(t.Context(), "created"); err != nil || string(got) != "v" {
				t.Fatalf("the server did not run the swap: %q, %v", got, err)
			}
			p.swallow("evalsha")
			ordinary(t, "deletion", d.Swap(t.Context(), "created", value, nil, 0))
			if _, err := direct.Get(t.Context(), "created"); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("the server did not run the deletion: %v", err)
			}

			if err := direct.Swap(t.Context(), "taken", nil, value, time.Hour); err != nil {
				t.Fatal(err)
			}
			p.swallow("getdel")
			ordinary(t, "Take", result(d.Take(t.Context(), "taken")))
			if _, err := direct.Get(t.Context(), "taken"); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("the server did not run the take: %v", err)
			}

			// What changes nothing is simply asked again.
			if err := d.Swap(t.Context(), "read", nil, value, time.Hour); err != nil {
				t.Fatal(err)
			}
			p.swallow("get")
			if got, err := d.Get(t.Context(), "read"); err != nil || string(got) != "v" {
				t.Errorf("Get = %q, %v", got, err)
			}
		})
	}
}

func ordinary(t *testing.T, op string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s: %v; want an error that is neither conflict nor not found", op, err)
	}
}

func result(_ []byte, err error) error { return err }

func mustOpen(t testing.TB, url string) *Driver {
	t.Helper()
	d, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

func BenchmarkGet(b *testing.B) {
	d := mustOpen(b, "redis://"+storetest.StartRedis(b).Addr)
	storetest.BenchmarkGet(b, d)
}

// BenchmarkMillion takes minutes and two gigabytes of memory.
func BenchmarkMillion(b *testing.B) {
	if !*million {
		b.Skip("see -million")
	}
	server := storetest.StartRedis(b)
	admin := redis.NewClient(&redis.Options{Addr: server.Addr, Protocol: 2})
	defer admin.Close()
	storetest.Million(b, mustOpen(b, "redis://"+server.Addr), func() int64 {
		used, err := admin.InfoMap(b.Context(), "memory").Result()
		if err != nil {
			b.Fatal(err)
		}
		n, err := strconv.ParseInt(used["Memory"]["used_memory"], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	})
}

var million = flag.Bool("million", false, "measure a store of a million records")

func BenchmarkSwap(b *testing.B) {
	d := mustOpen(b, "redis://"+storetest.StartRedis(b).Addr)
	storetest.BenchmarkSwap(b, d)
}
