package config

import (
	"github.com/knadh/koanf/providers/posflag"
	"github.com/spf13/pflag"
)

// keyFlag is a command-line flag that sets one key.
type keyFlag struct{ name, key, usage string }

// flags returns the flags there are: what one changes between two runs on the
// same files. Everything else is for files and the environment.
func flags() []keyFlag {
	return []keyFlag{
		{"listen", "server/listen", "address of the front door, `host:port`"},
		{"operator-listen", "server/operator_listen", "address of the operator's listener, `host:port` or off"},
		{"url", "server/url", "URL of every tenant that has none of its own, with {tenant} once: `url`"},
		{"store", "store", "where grants are kept: `url` with bolt, redis, rediss, redis+sentinel or redis+cluster"},
		{"plugins-dir", "plugins/dir", "`folder` with the providers' .wasm files"},
		{"log-level", "log/level", "least severe `level` shown: trace, debug, info, warn or error"},
		{"log-format", "log/format", "`format` of the log: text or json"},
	}
}

// Flags registers the flags that Load reads. They have no defaults of their
// own: a flag that is not given leaves the key to the other layers.
func Flags(fs *pflag.FlagSet) {
	for _, f := range flags() {
		fs.String(f.name, "", f.usage)
	}
}

// addFlags reads the flags that were given as the next layer.
func (l *loader) addFlags(fs *pflag.FlagSet) {
	keys := map[string]string{}  // flag → key
	given := map[string]string{} // key → flag
	for _, f := range flags() {
		keys[f.name] = f.key
		if fs.Changed(f.name) {
			given[f.key] = f.name
		}
	}
	provider := posflag.ProviderWithFlag(fs, delimiter, nil, func(f *pflag.Flag) (string, any) {
		return keys[f.Name], posflag.FlagVal(fs, f) // no key: not one of ours
	})
	tree, _ := provider.Read() // never fails
	l.layers = append(l.layers, &layer{tree: tree, find: func(p path, _ bool) (string, int, bool) {
		name, ok := given[p.String()]
		return "--" + name, 0, ok
	}})
}
