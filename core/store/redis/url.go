package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// defaultPrefix keeps our keys apart from a neighbour's on a shared server.
const defaultPrefix = "sallyport:"

// How long things may take. A request waits for the store a few times at most
// and its client for ten seconds or so, hence seconds and few repetitions. A
// context that ends earlier ends the wait (ContextTimeoutEnabled).
//
// The pool is go-redis' own choice, made for GOMAXPROCS, which follows a
// container's CPU limit: ten connections per CPU, five to each node of a
// cluster. A command takes the server some 20 microseconds, so ten connections
// are busier with this process than with the network; more callers wait for one
// to be free. None is kept open in advance: the first request after a quiet time
// pays one handshake, and Open has paid one already.
const (
	dialTimeout    = 3 * time.Second // per attempt, TLS included
	ioTimeout      = 3 * time.Second // for one write or one read
	poolTimeout    = 3 * time.Second // for a free connection
	confirmTimeout = time.Second     // for the replicas that a write is to reach
	idleTimeout    = 5 * time.Minute // less than the 10 to 60 minutes after which firewalls forget a connection
	retries        = 2               // of what changes nothing, or was certainly not run; see once
)

// address is a parsed URL.
type address struct {
	options       *redis.UniversalOptions
	prefix        string
	replicas      int
	ca, cert, key string // files
}

// parse reads a store URL. It takes the URL apart by hand, because url.Parse
// knows one host only and quotes what it cannot read, passwords included. Its
// errors quote nothing: in a URL with a mistake, any part may be the password.
func parse(text string) (address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	transport, kind, _ := strings.Cut(scheme, "+")
	if !ok || transport != "redis" && transport != "rediss" || scheme != transport && kind != "sentinel" && kind != "cluster" {
		return address{}, errors.New("it should start with redis://, rediss:// (TLS), redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://")
	}
	end := strings.IndexAny(rest+"/", "/?#")
	authority, rest := rest[:end], rest[end:]
	if strings.ContainsAny(rest, "@#") {
		// Most likely a password with a bare slash.
		return address{}, errors.New("user and password should have characters other than letters, digits, '-', '.', '_' and '~' percent-encoded")
	}
	o := newOptions(transport == "rediss", kind == "cluster")
	if err := parseAuthority(o, authority, kind); err != nil {
		return address{}, err
	}
	a := address{options: o, prefix: defaultPrefix}
	path, query, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "?")
	if err := parsePath(o, path, kind); err != nil {
		return address{}, err
	}
	if err := parseQuery(&a, query, kind); err != nil {
		return address{}, err
	}
	if o.IsClusterMode && o.DB != 0 {
		return address{}, errors.New("a cluster has no database but 0; leave db out")
	}
	if o.TLSConfig == nil && a.ca+a.cert+a.key != "" {
		return address{}, errors.New("ca, cert and key are for TLS: the scheme should start with rediss")
	}
	if (a.cert == "") != (a.key == "") {
		return address{}, errors.New("cert and key go together")
	}
	return a, nil
}

// Place names the servers and the prefix of a store URL, without its secrets.
// Of a URL that cannot be read it says so.
func Place(url string) string {
	a, err := parse(url)
	if err != nil {
		return "a store URL that cannot be read"
	}
	return strings.Join(a.options.Addrs, ",") + " " + a.prefix
}

// Validate returns what is wrong with a store URL, without connecting. The
// error never quotes a password.
func Validate(url string) error {
	_, err := parse(url)
	return err
}

// readCertificates reads the files that the URL names.
func (a address) readCertificates() error {
	if a.ca != "" {
		pem, err := readPEM(a.ca)
		if err != nil {
			return fmt.Errorf("ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ca: %s has no certificate in PEM", a.ca)
		}
		a.options.TLSConfig.RootCAs = roots
	}
	if a.cert != "" {
		pair, err := keyPair(a.cert, a.key)
		if err != nil {
			return fmt.Errorf("cert and key: %w", err)
		}
		a.options.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func keyPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := readPEM(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readPEM(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// maxPEM bounds a file of certificates: those that systems trust are a tenth of it.
const maxPEM = 4 << 20

// readPEM reads a regular file, or one that a link names. A FIFO would keep the
// start waiting, a device could be without an end.
func readPEM(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file; name one", name)
	case info.Size() > maxPEM:
		return nil, fmt.Errorf("%s is longer than %d MiB", name, maxPEM>>20)
	}
	return os.ReadFile(name)
}

// newOptions returns what is the same for all servers of a kind.
func newOptions(encrypted, cluster bool) *redis.UniversalOptions {
	o := &redis.UniversalOptions{
		IsClusterMode: cluster,

		// Nothing here needs RESP3, and every server speaks RESP2: to one that
		// refuses HELLO as well, go-redis sends AUTH.
		Protocol: 2,
		// CLIENT SETINFO, which tells the server go-redis' name, is refused by old
		// servers and by users without a right to it, who find that in ACL LOG.
		DisableIdentity: true,
		// Primaries only, also of a cluster: a replica lags, so it would still know
		// a revoked grant, and a read from it is nothing to compare and swap with.
		ReadOnly: false,

		DialTimeout:           dialTimeout,
		DialerRetries:         1,
		ReadTimeout:           ioTimeout,
		WriteTimeout:          ioTimeout,
		PoolTimeout:           poolTimeout,
		ConnMaxIdleTime:       idleTimeout,
		ContextTimeoutEnabled: true,
	}
	if !cluster { // the cluster client has a loop of its own around each command
		o.MaxRetries = retries
	}
	if encrypted {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // the dialer adds the server's name
	}
	return o
}

// parseAuthority reads user:password@host:port,host:port.
func parseAuthority(o *redis.UniversalOptions, authority, kind string) error {
	hosts := authority
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		hosts = authority[at+1:]
		var err1, err2 error
		o.Username, err1 = url.PathUnescape(user)
		o.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return errors.New("user or password has a '%' that is not followed by two hexadecimal digits; write it as %25")
		}
	}
	port := "6379"
	if kind == "sentinel" {
		port = "26379"
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr, err := hostPort(host, port)
		if err != nil {
			return err
		}
		o.Addrs = append(o.Addrs, addr)
	}
	if kind == "" && len(o.Addrs) > 1 {
		return errors.New("several hosts are for redis+sentinel:// and redis+cluster://; this one takes a single host")
	}
	return nil
}

// hostPort reads host, host:port, [IPv6] or [IPv6]:port.
func hostPort(text, port string) (string, error) {
	// The parser of a URL knows all the forms; it sees nothing secret here.
	u, err := url.Parse("//" + text)
	if err != nil || u.Host != text || u.Hostname() == "" || strings.Contains(u.Hostname(), ":") != strings.HasPrefix(text, "[") {
		return "", errors.New("hosts should be written host:port, separated by commas")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// parsePath reads the database number, or the name of Sentinel's master.
func parsePath(o *redis.UniversalOptions, path, kind string) error {
	switch {
	case kind == "sentinel":
		if path == "" || strings.Contains(path, "/") {
			return errors.New("the path should be the name of the master that the sentinels watch, as in redis+sentinel://host:26379/mymaster")
		}
		o.MasterName = path
		return nil
	case path == "":
		return nil
	default:
		return parseDB(o, path)
	}
}

func parseDB(o *redis.UniversalOptions, text string) error {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return errors.New("the database should be a number such as 0")
	}
	o.DB = int(n)
	return nil
}

func parseQuery(a *address, query, kind string) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the part after '?' should be name=value, separated by '&'")
	}
	for name, values := range q {
		if err := a.set(name, values[len(values)-1], kind); err != nil {
			return err
		}
	}
	return nil
}

// set takes one parameter of the URL.
func (a *address) set(name, value, kind string) error {
	switch {
	case name == "prefix":
		if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("prefix should be printable ASCII without spaces")
		}
		a.prefix = value
	case name == "db":
		return parseDB(a.options, value)
	case name == "replicas":
		n, err := strconv.ParseUint(value, 10, 4)
		if err != nil {
			return errors.New("replicas should be a number such as 1")
		}
		a.replicas = int(n)
	case name == "sentinel_auth" && kind == "sentinel":
		same, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("sentinel_auth should be true or false")
		}
		if same {
			a.options.SentinelUsername, a.options.SentinelPassword = a.options.Username, a.options.Password
		}
	case name == "ca":
		a.ca = value
	case name == "cert":
		a.cert = value
	case name == "key":
		a.key = value
	default:
		return errors.New("a parameter is not known; prefix, db, replicas, ca, cert, key and, for redis+sentinel, sentinel_auth are")
	}
	return nil
}
