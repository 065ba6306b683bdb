package config

import (
	"cmp"
	"path/filepath"
	"strings"
)

// SocketVariable is the environment variable with the admin socket for the
// operator's commands. The server does not read it.
const SocketVariable = "SALLYPORT_ADMIN_SOCKET"

// stateFolder is where a server keeps what has no place of its own.
const stateFolder = "/var/lib/sallyport"

// SocketPath returns where the server opens its admin socket, or the empty
// string if it opens none.
func (c *Config) SocketPath() string { return socketPath(c.Server.AdminSocket, c.Store.Reveal()) }

func socketPath(key, store string) string {
	if key == off {
		return ""
	}
	folder, name := stateFolder, "server"
	if file, ok := strings.CutPrefix(store, "bolt://"); ok {
		folder, name = filepath.Dir(file), filepath.Base(file)
	}
	return cmp.Or(key, filepath.Join(folder, "admin", name+".sock"))
}

// AdminSocket returns the path of the admin socket that a configuration names,
// or the empty string if it is off. It resolves no secret: of the whole
// configuration it interpolates server/admin_socket, and a store that begins
// with bolt: or is as a whole one reference. So a command needs nothing but
// the files to reach the running server.
func AdminSocket(opts Options) (string, error) {
	l := newLoader()
	l.environ = environ(opts.Environ)
	for _, file := range opts.Files {
		l.addFile(file)
	}
	if len(l.faults) > 0 {
		return "", &l.faults
	}
	l.addEnviron()
	if opts.Flags != nil {
		l.addFlags(opts.Flags)
	}
	l.faults = nil // every other key is for Load
	key, err := l.peek(path{"server", "admin_socket"}, "")
	if err != nil {
		return "", err
	}
	if key != "" {
		if what := checkAdminSocket(key); what != nil {
			l.fault(path{"server", "admin_socket"}, *what)
			return "", &l.faults
		}
		return socketPath(key, ""), nil
	}
	store, err := l.peek(path{"store"}, l.schema.field("store").def)
	return socketPath("", store), err
}

// peek returns the text at p in the highest layer that has one, interpolated
// if it can name a place.
func (l *loader) peek(p path, standard string) (string, error) {
	text := standard
	for _, ly := range l.layers {
		if found, ok := textAt(ly.tree, p); ok {
			text = found
		}
	}
	if p[0] == "store" && !strings.HasPrefix(text, "bolt:") && !(strings.HasPrefix(text, "${") && strings.Count(text, "}") == 1 && strings.HasSuffix(text, "}")) {
		return text, nil
	}
	value, what := l.interpolate(text)
	if what != nil {
		l.fault(p, *what)
		return "", &l.faults
	}
	return value, nil
}

// textAt returns the text at p in a tree.
func textAt(tree map[string]any, p path) (string, bool) {
	for _, key := range p[:len(p)-1] {
		tree, _ = tree[key].(map[string]any)
	}
	text, ok := tree[p[len(p)-1]].(string)
	return text, ok
}
