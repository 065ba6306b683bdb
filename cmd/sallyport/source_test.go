package main

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSource checks rules about what the code says, as against what it
// imports. Packages that only tests use are free of those about clocks.
func TestSource(t *testing.T) {
	checkRules(t, []rule{
		{
			name: "no client without limits", why: "http.DefaultClient and what uses it have no timeout and go to any address; core/fetch has both rules",
			broken:   selectors("http", "DefaultClient", "Get", "Head", "Post", "PostForm"),
			offender: [2]string{"core/client/x.go", "package client\nimport \"net/http\"\nvar c = http.DefaultClient"},
		},
		{
			name: "clocks are handed over", why: "time.Now is the default of a nil field and nothing else, so that tests own the time",
			broken:   clocks,
			offender: [2]string{"core/grant/x.go", "package grant\nimport \"time\"\nfunc f() time.Time { return time.Now() }"},
		},
		{
			name: "no init", why: "nothing happens before main; only a provider's module, which has no main to speak of, registers itself so",
			broken:   inits,
			offender: [2]string{"core/grant/x.go", "package grant\nfunc init() {}"},
		},
		{
			name: "package variables are never written", why: "state is in values that somebody made and handed over; a variable of a package is a constant Go has no literal for",
			broken:   writes,
			offender: [2]string{"core/grant/x.go", "package grant\nvar n int\nvar m = map[string]int{}\nfunc f() { m[\"a\"]++ }"},
		},
		{
			name: "no upstream by name", why: "what is particular about an upstream is in its provider; elsewhere a name would be a special case",
			broken:   upstreamNames,
			offender: [2]string{"core/callback/x.go", "package callback\nfunc isGitHub() bool { return false }"},
		},
	})
}

// testSupport tells whether only tests import the package.
func testSupport(pkg string) bool {
	return below(pkg, "core/coretest") || below(pkg, "core/store/storetest") || below(pkg, "core/upstream/upstreamtest") || below(pkg, "sdk/sdktest")
}

// selectors makes a check that no file uses these names of a package.
func selectors(pkg string, names ...string) func([]source) []string {
	return func(all []source) (broken []string) {
		for _, s := range all {
			ast.Inspect(s.file, func(n ast.Node) bool {
				if name, ok := selector(n, pkg); ok && slices.Contains(names, name) {
					broken = append(broken, s.at(n)+" uses "+pkg+"."+name)
				}
				return true
			})
		}
		return broken
	}
}

func selector(n ast.Node, pkg string) (name string, ok bool) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	x, ok := sel.X.(*ast.Ident)
	return sel.Sel.Name, ok && x.Name == pkg
}

// clocks allows time.Now, not called, in an assignment below "if … == nil". In
// plugins, time is also measured: what a context's deadline counts in.
func clocks(all []source) (broken []string) {
	for _, s := range all {
		if testSupport(s.pkg()) {
			continue
		}
		if s.pkg() == "plugins" && path.Base(s.path) != "host.go" {
			continue // how long a request took, and how long a context has still to live
		}
		if s.path == "cmd/sallyport/faults_on.go" {
			continue // it makes a clock, for test builds
		}
		defaults := map[ast.Node]bool{}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.IfStmt:
				if c, ok := n.Cond.(*ast.BinaryExpr); ok && c.Op == token.EQL && isNil(c.Y) {
					for _, stmt := range n.Body.List {
						if a, ok := stmt.(*ast.AssignStmt); ok {
							for _, value := range a.Rhs {
								defaults[value] = true
							}
						}
					}
				}
			case *ast.SelectorExpr:
				name, ok := selector(n, "time")
				if ok && slices.Contains([]string{"Now", "Since", "Until"}, name) && !defaults[n] {
					broken = append(broken, s.at(n)+" reads the clock by time."+name)
				}
			}
			return true
		})
	}
	return broken
}

func isNil(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "nil"
}

func inits(all []source) (broken []string) {
	for _, s := range all {
		if below(s.pkg(), "providers") || s.path == "sdk/internal/acme/main.go" {
			continue // sdk/internal/acme is a provider: the SDK's own example
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				broken = append(broken, s.at(f)+" has an init function")
			}
		}
	}
	return broken
}

// writes finds assignments to variables of the file's own package, and to
// what they hold. A guest is a process with one caller at a time, and its
// memory is how host and guest talk: sdk keeps three.
func writes(all []source) (broken []string) {
	declared := map[string]map[string]bool{} // package → its variables
	for _, s := range all {
		if declared[s.pkg()] == nil {
			declared[s.pkg()] = map[string]bool{}
		}
		for _, d := range s.file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, spec := range g.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						declared[s.pkg()][name.Name] = name.Name != "_"
					}
				}
			}
		}
	}
	exempt := []string{"sdk.registered", "sdk.inputBuffer", "sdk.outputBuffer"}
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			local := locals(f)
			written(f.Body, func(id *ast.Ident) {
				if declared[s.pkg()][id.Name] && !local[id.Name] && !slices.Contains(exempt, s.pkg()+"."+id.Name) {
					broken = append(broken, s.at(id)+" writes the package's variable "+id.Name)
				}
			})
		}
	}
	return broken
}

// locals is what a function declares itself, anywhere in it: parameters,
// results and variables.
func locals(f *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	add := func(e ast.Expr) {
		if id, ok := e.(*ast.Ident); ok {
			names[id.Name] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				add(name)
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				add(name)
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key)
				add(n.Value)
			}
		}
		return true
	})
	return names
}

// written calls report with the variable that each assignment in body is to:
// for a.b[c] = d it is a.
func written(body ast.Node, report func(*ast.Ident)) {
	ast.Inspect(body, func(n ast.Node) bool {
		var targets []ast.Expr
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				targets = n.Lhs
			}
		case *ast.IncDecStmt:
			targets = []ast.Expr{n.X}
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				targets = []ast.Expr{n.Key, n.Value}
			}
		}
		for _, target := range targets {
			if id := root(target); id != nil {
				report(id)
			}
		}
		return true
	})
}

func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// upstreamNames looks at names and texts in the code. Comments may give
// examples, and so may the tags in config that REFERENCE.md is made from, and
// the help of commands. The hosts of clients in core/oauth are no upstreams.
func upstreamNames(all []source) (broken []string) {
	name := regexp.MustCompile(`(?i)git(hub|lab)|bitbucket|slack|tidal|spotify|google|microsoft|atlassian|notion\b|linear\b|discord|dropbox|figma`)
	for _, s := range all {
		if below(s.pkg(), "providers") || s.pkg() == "cmd/sallyport" {
			continue
		}
		skip := map[ast.Node]bool{}
		ast.Inspect(s.file, func(n ast.Node) bool {
			text := ""
			switch n := n.(type) {
			case *ast.ImportSpec:
				return false
			case *ast.FuncDecl: // the callbacks of clients: some clients are made by the same companies
				if n.Name.Name == "DefaultRedirects" {
					return false
				}
			case *ast.Field:
				if n.Tag != nil && path.Base(s.path) == "config.go" && s.pkg() == "config" {
					skip[n.Tag] = true
				}
			case *ast.Ident:
				text = n.Name
			case *ast.BasicLit:
				text = strings.TrimPrefix(n.Value, `"github.com/`) // a module's path
			}
			if found := name.FindString(text); found != "" && !skip[n] {
				broken = append(broken, s.at(n)+" names "+found)
			}
			return true
		})
	}
	return broken
}
