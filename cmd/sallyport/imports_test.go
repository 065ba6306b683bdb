package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sallyport/sallyport/"

// source is one Go file that is no test.
type source struct {
	path string // below the repository, with slashes
	file *ast.File
	set  *token.FileSet
}

func (s source) pkg() string { return path.Dir(s.path) }

// at names a place in the file.
func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.set.Position(n.Pos()).Line)
}

// imports lists the import paths of the file.
func (s source) imports() []string {
	var all []string
	for _, i := range s.file.Imports {
		name, _ := strconv.Unquote(i.Path.Value)
		all = append(all, name)
	}
	return all
}

// rule is one of the rules that hold the tree together. offender breaks it, so
// that every run sees the rule fail as well as hold.
type rule struct {
	name, why string
	broken    func([]source) []string
	offender  [2]string // path and text
}

// TestImports checks the arrows between packages, file by file and whatever
// the build tags.
func TestImports(t *testing.T) { checkRules(t, importRules()) }

func checkRules(t *testing.T, rules []rule) {
	t.Helper()
	all := sources(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, b := range r.broken(all) {
				t.Errorf("%s\n\tthe rule: %s", b, r.why)
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, r.offender[0], r.offender[1], parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.broken([]source{{r.offender[0], file, set}})) == 0 {
				t.Errorf("the rule does not notice %s: %s", r.offender[0], r.offender[1])
			}
		})
	}
}

func importRules() []rule {
	leaves := []string{"core/oauth", "core/seal", "core/store", "core/tenant", "core/upstream", "core/audit", "core/fetch", "core/limit", "core/remote", "core/redirecturi"}
	return []rule{
		imports("leaves depend on leaves", "what everything imports must not pull anything in",
			in(leaves...), func(pkg, dep string) bool {
				ours := slices.Contains(leaves, strings.TrimPrefix(dep, module))
				return standard(dep) || ours || pkg == "core/seal" && below(dep, "golang.org/x/crypto") ||
					pkg == "core/audit" && dep == "github.com/go-chi/chi/v5/middleware" || pkg == "core/limit" && dep == "golang.org/x/time/rate"
			}, "core/oauth", module+"core/grant"),
		imports("config depends on nothing of ours but rules that it shares", "the file's shape and the runtime's shape change for different reasons; only cmd/sallyport sees both. What a provider may be called is one rule for its author, its host and the configuration, and what a redirect URI may be is one for clients of every origin",
			under("config"), func(_, dep string) bool {
				return !strings.HasPrefix(dep, module) || dep == module+"sdk/rules" || dep == module+"core/redirecturi"
			}, "config", module+"core/seal"),
		imports("core sees no plugin host and no config", "core serves any provider behind core/upstream, however it is loaded or configured",
			under("core"), func(_, dep string) bool {
				return standard(dep) || below(dep, module+"core") || !strings.HasPrefix(dep, module) && !below(dep, "github.com/knadh/koanf")
			}, "core/grant", module+"plugins"),
		imports("plugins see the seam only", "the plugin host implements core/upstream; of core it needs no more than secrets and the guarded client",
			under("plugins"), func(_, dep string) bool {
				return !strings.HasPrefix(dep, module) || below(dep, module+"plugins") || dep == module+"sdk/abi" || dep == module+"sdk/rules" ||
					slices.Contains([]string{"core/upstream", "core/seal", "core/fetch"}, strings.TrimPrefix(dep, module))
			}, "plugins", module+"core/grant"),
		imports("guests depend on the standard library and sdk", "a provider is built from a handful of files, and sdk is the one promise made to its author",
			under("sdk", "providers"), func(pkg, dep string) bool {
				return standard(dep) || below(dep, module+"sdk") || below(pkg, "providers") && dep == module+"providers/oidc/issuers"
			}, "providers/acme", "golang.org/x/oauth2"),
		imports("no module carries the host's rules", "rules checks what a provider says from outside; in a module it would be size for nothing",
			func(pkg string) bool {
				return (below(pkg, "sdk") || below(pkg, "providers")) && pkg != "sdk/rules" && pkg != "sdk/sdktest"
			}, func(_, dep string) bool { return dep != module+"sdk/rules" }, "sdk/oauth2", module+"sdk/rules"),
		only("go-redis", "github.com/redis", "core/store/redis"),
		only("bbolt", "go.etcd.io/bbolt", "core/store/bolt"),
		only("wazero", "github.com/tetratelabs/wazero", "plugins"),
		only("koanf", "github.com/knadh/koanf", "config"),
		only("cobra", "github.com/spf13/cobra", "cmd/sallyport"),
		imports("pages write the HTML", "one package escapes, and one has to be looked at for it",
			func(pkg string) bool { return pkg != "core/pages" && !below(pkg, "cmd/sallyport/internal/demo") },
			func(_, dep string) bool { return dep != "html/template" }, "core/consent", "html/template"),
		imports("hclog is the only logger", "what is logged goes through one logger that has a level, a format and a place",
			under(""), func(_, dep string) bool { return dep != "log" && dep != "log/slog" }, "core/grant", "log"),
		imports("no math/rand", "secrets come from crypto/rand; for jitter there is math/rand/v2, which needs no seed",
			under(""), func(_, dep string) bool { return dep != "math/rand" }, "core/seal", "math/rand"),
		{
			name: "endpoints do not import one another", why: "an endpoint can be read, tested and taken out alone; what two need belongs in a leaf or is handed over by core/server.go",
			broken: endpointImports,
			offender: [2]string{"core/tokens/x.go", "package tokens\nimport _ \"" + module + "core/tokens/other\"\n" +
				"type Endpoint struct{}\nfunc (Endpoint) Routes() {}"},
		},
	}
}

// imports makes a rule of what the packages in scope may import.
func imports(name, why string, scope func(pkg string) bool, allowed func(pkg, dep string) bool, offender, dep string) rule {
	return rule{
		name: name, why: why,
		broken: func(all []source) (broken []string) {
			for _, s := range all {
				for _, dep := range s.imports() {
					if scope(s.pkg()) && !allowed(s.pkg(), dep) {
						broken = append(broken, s.path+" imports "+dep)
					}
				}
			}
			return broken
		},
		offender: [2]string{offender + "/x.go", "package x\nimport _ " + strconv.Quote(dep)},
	}
}

// only makes the rule that one place imports a dependency.
func only(name, dep, place string) rule {
	return imports(name+" only in "+place, "a dependency behind one package can be replaced there, and its trouble stays there",
		func(pkg string) bool { return !below(pkg, place) }, func(_, d string) bool { return !below(d, dep) }, "core/tenant", dep)
}

// endpointImports finds the endpoints by their method Routes.
func endpointImports(all []source) (broken []string) {
	endpoints := map[string]bool{}
	for _, s := range all {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == "Routes" {
				endpoints[s.pkg()] = true
			}
		}
	}
	for _, s := range all {
		for _, dep := range s.imports() {
			for endpoint := range endpoints {
				if endpoints[s.pkg()] && below(dep, module+endpoint) {
					broken = append(broken, s.path+" imports "+dep)
				}
			}
		}
	}
	return broken
}

// TestReach checks what whole trees depend on in the end, through whatever
// packages.
func TestReach(t *testing.T) {
	for _, c := range []struct {
		name, why string
		roots     string
		forbidden func(dep string) bool
	}{
		{"core", "core without the plugin host and the configuration is what others can embed", "./core/...", func(dep string) bool {
			return below(dep, "github.com/tetratelabs/wazero") || below(dep, "github.com/knadh/koanf") ||
				below(dep, module+"plugins") || below(dep, module+"config") || below(dep, module+"providers")
		}},
		{"sdk", "a provider's author gets no dependency with the SDK", "./sdk/...", func(dep string) bool {
			return !standard(dep) && !below(dep, module+"sdk")
		}},
		{"providers", "a provider compiles to a small module", "./providers/...", func(dep string) bool {
			return !standard(dep) && !below(dep, module+"sdk") && !below(dep, module+"providers")
		}},
		{"config", "config can be used by a tool that serves nothing", "./config", func(dep string) bool {
			return strings.HasPrefix(dep, module) && dep != module+"config" && dep != module+"sdk/rules" && dep != module+"sdk/abi" && dep != module+"core/redirecturi"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", c.roots)
			cmd.Dir, cmd.Stderr = "../..", os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			deps := strings.Fields(string(out))
			if len(deps) < 10 {
				t.Fatalf("go list -deps %s: only %d packages", c.roots, len(deps))
			}
			for _, dep := range deps {
				if c.forbidden(dep) {
					t.Errorf("%s reaches %s (go list -deps; see go mod why -m)\n\tthe rule: %s", c.roots, dep, c.why)
				}
			}
		})
	}
}

// sources parses every file of the repository that is no test.
func sources(t *testing.T) []source {
	t.Helper()
	const root = "../.."
	set := token.NewFileSet()
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != root && (slices.Contains([]string{"testdata", "node_modules"}, d.Name()) || strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		relative, err := filepath.Rel(root, name)
		all = append(all, source{filepath.ToSlash(relative), file, set})
		return err
	})
	if err != nil || len(all) < 50 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	return all
}

// standard tells whether an import path is the standard library's, whose first
// element has no dot. What golang.org/x is vendored into it counts as well.
func standard(dep string) bool {
	first, _, _ := strings.Cut(dep, "/")
	return !strings.Contains(first, ".")
}

// below tells whether p is root or below it.
func below(p, root string) bool {
	return p == root || strings.HasPrefix(p, root+"/") || root == ""
}

func in(packages ...string) func(string) bool {
	return func(pkg string) bool { return slices.Contains(packages, pkg) }
}

func under(roots ...string) func(string) bool {
	return func(pkg string) bool {
		return slices.ContainsFunc(roots, func(root string) bool { return below(pkg, root) })
	}
}
