package stories

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var (
	binary  = flag.String("binary", "", "the sallyport command to tell the stories of; empty: built from the tree")
	plugins = flag.String("plugins", "", "folder of its oauth2.wasm, oidc.wasm, github.wasm and slack.wasm; empty: built from the tree")
)

// cache is the folder of compiled modules that all stories share, and guests
// the folder of the modules in testdata.
var cache, guests string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "stories")
	if err == nil {
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// prepare builds what the flags do not name, and the guests, with the binary
// under test.
func prepare(dir string) (err error) {
	cache, guests = filepath.Join(dir, "cache"), filepath.Join(dir, "guests")
	if *binary == "" {
		*binary = filepath.Join(dir, "sallyport")
		if err := run("go", "build", "-o", *binary, "../.."); err != nil {
			return err
		}
	}
	if *binary, err = filepath.Abs(*binary); err != nil {
		return err
	}
	if *plugins == "" {
		*plugins = filepath.Join(dir, "plugins")
		const providers = "../../../../providers/"
		if err := run(*binary, "plugin", "build", "-o", *plugins, providers+"oauth2", providers+"oidc", providers+"github", providers+"slack"); err != nil {
			return err
		}
	}
	if *plugins, err = filepath.Abs(*plugins); err != nil {
		return err
	}
	return run(*binary, "plugin", "build", "-o", guests, "./testdata/guests/echo", "./testdata/guests/spin")
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return nil
}

// module is the file of a provider in the tree.
func module(name string) string { return filepath.Join(*plugins, name+".wasm") }

// guest is the file of a module in testdata.
func guest(name string) string { return filepath.Join(guests, name+".wasm") }

func TestStories(t *testing.T) {
	for _, s := range []struct {
		name string
		tell func(*testing.T)
	}{
		{"S1 a code of one upstream does not log in at another", mixUp},
		{"S2 no client header is read as one of ours", foldedHeaders},
		{"S3 no secret of an old upstream reaches a new one", changedUpstream},
		{"S4 a stranger's URL never uses the proxy", strangersProxy},
		{"S5 a client secret is no value of a provider", echoedSecret},
		{"S6 a flood of bad tokens is not one of audit lines", floodOfRefusals},
		{"S6 an audit reader that stands still stops no request", auditStandsStill},
		{"S6 audit lines that cannot be written are told", auditFull},
		{"S7 a module that spins at one tenant serves the others", spinningTenant},
		{"S8 open streams keep no request bodies", streamsKeepNoBodies},
		{"U1 Entra gets the scope at every renewal", entraScope},
		{"U2 what only a login mends asks for a login", needsLogin},
		{"U26 a dead token told as another error asks for a login", deadTokenUnderOtherNames},
		{"U26 no answer of a token endpoint leaves a user stuck", answersOfUpstreams},
		{"U26 a wrong client secret logs no user out", wrongSecretOfOurs},
		{"U27 a token endpoint that hangs delays no good call", hangingTokenEndpoint},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.tell(t)
		})
	}
}
