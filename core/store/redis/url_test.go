package redis

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	type want struct {
		addrs                  []string
		user, password         string
		sentinelUser, sentinel string
		master, prefix         string
		db, replicas           int
		tls, cluster           bool
	}
	for _, c := range []struct {
		url  string
		want want
	}{
		{"redis://localhost", want{addrs: []string{"localhost:6379"}}},
		{"redis://localhost/", want{addrs: []string{"localhost:6379"}}},
		{"redis://h:1/3", want{addrs: []string{"h:1"}, db: 3}},
		{"redis://h:1?db=3", want{addrs: []string{"h:1"}, db: 3}},
		{"redis://[::1]", want{addrs: []string{"[::1]:6379"}}},
		{"redis://[::1]:1/0", want{addrs: []string{"[::1]:1"}}},
		{"redis://:pw@h", want{addrs: []string{"h:6379"}, password: "pw"}},
		{"redis://user:p%40s%2Fs%3A%25+%23@h", want{addrs: []string{"h:6379"}, user: "user", password: "p@s/s:%+#"}},
		{"rediss://default:pw@x.upstash.io:6379", want{addrs: []string{"x.upstash.io:6379"}, user: "default", password: "pw", tls: true}},
		{"redis://h?replicas=2", want{addrs: []string{"h:6379"}, replicas: 2}},
		{"redis://h?prefix=a:b*", want{addrs: []string{"h:6379"}, prefix: "a:b*"}},
		{"redis+sentinel://user:pw@h1:26379,h2/main?db=0", want{addrs: []string{"h1:26379", "h2:26379"}, user: "user", password: "pw", master: "main"}},
		{"redis+sentinel://user:pw@h1/main?db=2&sentinel_auth=true", want{addrs: []string{"h1:26379"}, user: "user", password: "pw", sentinelUser: "user", sentinel: "pw", master: "main", db: 2}},
		{"rediss+sentinel://h1/main?sentinel_auth=false", want{addrs: []string{"h1:26379"}, master: "main", tls: true}},
		{"redis+cluster://h1:7000,h2:7001", want{addrs: []string{"h1:7000", "h2:7001"}, cluster: true}},
		{"rediss+cluster://u:p@[::1]:7000,[::2],h3?db=0&prefix=x", want{addrs: []string{"[::1]:7000", "[::2]:6379", "h3:6379"}, user: "u", password: "p", prefix: "x", tls: true, cluster: true}},
	} {
		t.Run(c.url, func(t *testing.T) {
			a, err := parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			o, w := a.options, c.want
			if w.prefix == "" {
				w.prefix = "sallyport:"
			}
			if !slices.Equal(o.Addrs, w.addrs) || o.Username != w.user || o.Password != w.password ||
				o.SentinelUsername != w.sentinelUser || o.SentinelPassword != w.sentinel ||
				o.MasterName != w.master || a.prefix != w.prefix || o.DB != w.db || a.replicas != w.replicas ||
				(o.TLSConfig != nil) != w.tls || o.IsClusterMode != w.cluster {
				t.Errorf("got %+v with prefix %q, want %+v", o, a.prefix, w)
			}
		})
	}
}

// Whatever the address, no error quotes the password, wherever a mistake put it.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"redis://user:s3cret@h", "redis+sentinel://u:s3cret@h1:1,h2/m?sentinel_auth=true", "rediss+cluster://:s3cret@[::1]:7000?prefix=x",
		"redis://s3cret%zz@h", "redis://a:s3cret@h?replicas=1&db=2", "rediss://h?ca=/x&cert=/y&key=/z", "://s3cret",
		"redis://us//er:s3cret", "redis://h?s3cret", "redis://h?db=s3cret", "redis://h?prefix=s3cret%20",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parse(text)
		if err == nil && (len(a.options.Addrs) == 0 || a.options.Addrs[0] == "") {
			t.Errorf("%q has no address", text)
		}
		if err != nil {
			noSecret(t, err)
		}
	})
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"", "should start with redis://"},
		{"localhost:6379", "should start with redis://"},
		{"http://h", "should start with redis://"},
		{"redis+other://h", "should start with redis://"},
		{"redis+://h", "should start with redis://"},
		{"redis://", "host:port"},
		{"redis:///0", "host:port"},
		{"redis://h:port", "host:port"},
		{"redis://h one", "host:port"},
		{"redis://::1", "host:port"},
		{"redis+cluster://h1,,h2", "host:port"},
		{"redis://h1,h2", "single host"},
		{"redis://h/x", "a number"},
		{"redis://h/-1", "a number"},
		{"redis://h?db=x", "a number"},
		{"redis+sentinel://h", "name of the master"},
		{"redis+sentinel://h/a/b", "name of the master"},
		{"redis+cluster://h/1", "no database but 0"},
		{"redis+cluster://h?db=1", "no database but 0"},
		{"redis://h?ca=/ca.pem", "should start with rediss"},
		{"redis+cluster://h?cert=/c.pem&key=/k.pem", "should start with rediss"},
		{"rediss://h?cert=/c.pem", "go together"},
		{"rediss+sentinel://h/m?key=/k.pem", "go together"},
		{"redis://h?prefx=x", "is not known; prefix, db"},
		{"redis://h?sentinel_auth=true", "is not known; prefix, db"},
		{"redis+sentinel://h/m?sentinel_auth=perhaps", "true or false"},
		{"redis://h?prefix=a%20b", "without spaces"},
		{"redis://h?a;b", "name=value"},
		{"redis://user:s3cret@", "host:port"},
		{"redis://user:s3cret@h:x", "host:port"},
		{"redis://user:s3cret%zz@h", "%25"},
		{"redis://s3cret%:x@h", "%25"},
		{"redis://user:a/s3cret@h", "percent-encoded"},
		{"redis://user:a?s3cret=1@h", "percent-encoded"},
		{"redis://user:a#s3cret@h", "percent-encoded"},
		{"redis://user:a@b/s3cret@h", "percent-encoded"},
		{"redis://user:s3cret@h?db=x", "a number"},
		{"http://user:s3cret@h", "should start with redis://"},
	} {
		t.Run(c.url, func(t *testing.T) {
			_, err := parse(c.url)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error = %v; want %q in it", err, c.want)
			}
			noSecret(t, err)
		})
	}
}
