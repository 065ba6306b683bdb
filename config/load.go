package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// delimiter separates levels in koanf's paths. Tenant names may hold dots.
const delimiter = "/"

// Options says where a configuration comes from, lowest layer first.
type Options struct {
	Files   []string       // YAML; a later file wins over an earlier one
	Environ []string       // NAME=value, as os.Environ returns it; nil: none
	Flags   *pflag.FlagSet // parsed, with the flags that Flags registered; nil: none
	// Origins is filled with what was read, if it is not nil.
	Origins *Origins
}

// Load reads a configuration: defaults, then files, then SALLYPORT_* variables,
// then flags. Sections and tenants are merged key by key; a list or a text is
// replaced whole. A key without a value counts as absent.
//
// A variable's name is SALLYPORT_ and the key's path in capitals, with two
// underscores between levels: SALLYPORT_SERVER__LISTEN. A tenant's name keeps
// its case: SALLYPORT_TENANTS__octo__CLIENT_SECRET. Text is taken as it is, a
// list of texts is split at commas, anything else is read as YAML. Variables
// of the form that Kubernetes sets for a service named sallyport are passed
// over.
//
// In any text ${env:NAME} and ${file:/absolute/path} stand for the variable's
// value and the file's content without one newline at its end; $${ stands for
// a plain ${. What was put in is not looked at again. Only values that count
// in the end are interpolated: one that a higher layer replaces may refer to
// what is not there.
//
// The error is a *Faults with everything that is wrong. If a file cannot be
// read or parsed it holds that alone, since the rest would be guesses.
func Load(opts Options) (*Config, error) {
	return newLoader().load(opts)
}

// loader is one run of Load.
type loader struct {
	readFile func(string) ([]byte, error)
	schema   *shape
	environ  map[string]string
	layers   []*layer
	faults   Faults
	bad      map[string]bool // path.id of what needs no further fault
	origins  *Origins
	secret   bool // the text being interpolated is that of a secret key
}

func newLoader() *loader {
	return &loader{readFile: ReadFile, schema: newSchema(), bad: map[string]bool{}, origins: &Origins{given: map[string]bool{}}}
}

// layer is one source of values.
type layer struct {
	tree map[string]any
	// find tells where the layer has the value at p; with above also where it
	// has something below p.
	find func(p path, above bool) (source string, line int, ok bool)
	// file is set for files, empty for environment and flags.
	file string
}

// tree is values by key, as a koanf.Provider.
type tree map[string]any

// Read returns the tree itself, not a copy.
func (t tree) Read() (map[string]any, error) { return t, nil }

// ReadBytes fails: a tree is no byte stream.
func (tree) ReadBytes() ([]byte, error) { return nil, errors.ErrUnsupported }

func (l *loader) load(opts Options) (*Config, error) {
	l.environ = environ(opts.Environ)
	defer func() { sortFaults(l.faults, opts.Files) }()
	if opts.Origins != nil {
		defer func() { *opts.Origins = *l.origins }()
	}
	for _, file := range opts.Files {
		l.addFile(file)
		l.origins.note(file, false)
	}
	if len(l.faults) > 0 {
		return nil, &l.faults
	}
	l.addEnviron()
	if opts.Flags != nil {
		l.addFlags(opts.Flags)
	}

	cfg := &Config{}
	if err := l.merge(cfg); err != nil {
		return nil, err
	}
	cfg.complete()
	l.validate(cfg)
	if len(l.faults) > 0 {
		return nil, &l.faults
	}
	return cfg, nil
}

// merge checks the layers' shape, lays them over one another, interpolates,
// and decodes the outcome into cfg. All layers go in by one koanf Load: each
// Load indexes the whole tree anew, which ten thousand tenants would notice.
func (l *loader) merge(cfg *Config) error {
	trees := make([]map[string]any, len(l.layers))
	for i, ly := range l.layers {
		trees[i], _ = l.shape(ly, nil, l.schema, ly.tree).(map[string]any)
		l.origins.add("", trees[i])
	}
	ko := koanf.New(delimiter)
	err := ko.Load(tree(l.schema.defaults(trees)), nil, koanf.WithMergeFunc(func(defaults, merged map[string]any) error {
		maps.Merge(defaults, merged)
		for _, higher := range trees {
			maps.Merge(higher, merged)
		}
		l.resolve(nil, l.schema, merged)
		return nil
	}))
	if err == nil {
		err = ko.UnmarshalWithConf("", cfg, koanf.UnmarshalConf{DecoderConfig: decoderConfig()})
	}
	if err != nil {
		// The shape was checked above, so this is a gap in that check. The
		// decoder's own text would show values.
		return &Faults{{Problem: fmt.Sprintf("internal error in decoding (%T)", err)}}
	}
	return nil
}

// decoderConfig is strict where koanf's default is lenient. Giving one at all
// drops koanf's default hooks; of those, the one that secrets need is restated,
// and durations are parsed by then, with their bounds.
func decoderConfig() *mapstructure.DecoderConfig {
	return &mapstructure.DecoderConfig{
		ErrorUnused: true,
		DecodeHook:  mapstructure.TextUnmarshallerHookFunc(),
	}
}

// complete fills in the defaults that depend on other values.
func (c *Config) complete() {
	if c.Server.OperatorListen == off {
		c.Server.OperatorListen = ""
	}
	for key, t := range c.Tenants {
		if t.Name == "" {
			t.Name = key
		}
		for i := range t.Clients {
			if t.Clients[i].Name == "" {
				t.Clients[i].Name = t.Clients[i].ID
			}
		}
		c.Tenants[key] = t
	}
}

// fault reports what is wrong with the value that counts at p. It is silent if
// that value, or what it is part of, was reported before.
func (l *loader) fault(p path, what problem) {
	if l.known(p) {
		return
	}
	source, line := l.origin(p)
	l.report(source, line, p, what)
	l.bad[p.id()] = true
}

// faultIn reports what is wrong with the value at p in one layer.
func (l *loader) faultIn(ly *layer, p path, what problem) {
	source, line, _ := ly.find(p, true)
	l.report(source, line, p, what)
	l.bad[p.id()] = true
}

func (l *loader) report(source string, line int, p path, what problem) {
	l.faults = append(l.faults, Fault{Source: source, Line: line, Path: p.String(), Problem: what.what, Remedy: what.remedy})
}

func (l *loader) known(p path) bool {
	for n := range p {
		if l.bad[p[:n+1].id()] {
			return true
		}
	}
	return false
}

// origin tells where the value at p comes from: the highest layer that has it.
// For a value that is nowhere it is the place to add it: the nearest section
// above, in the lowest layer that has that.
func (l *loader) origin(p path) (source string, line int) {
	for i := len(l.layers) - 1; i >= 0; i-- {
		if source, line, ok := l.layers[i].find(p, false); ok {
			return source, line
		}
	}
	for n := len(p); n > 0; n-- {
		for _, ly := range l.layers {
			if source, line, ok := ly.find(p[:n], true); ok {
				return source, line
			}
		}
	}
	for _, ly := range l.layers {
		if ly.file != "" {
			return ly.file, 0
		}
	}
	return "", 0
}

// environ indexes NAME=value pairs. The first of two with one name counts, as
// it does for os.Getenv.
func environ(pairs []string) map[string]string {
	env := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := env[name]; ok && !twice {
			env[name] = value
		}
	}
	return env
}
