package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestReference compares REFERENCE.md with what the shape's comments and tags
// say; go generate rewrites it.
func TestReference(t *testing.T) {
	want, err := reference()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("REFERENCE.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("REFERENCE.md")
	if err != nil || string(got) != want {
		t.Errorf("REFERENCE.md is stale (%v); run: go generate ./config", err)
	}
}

// Some clients look for metadata at the root of a host only: the reference says
// at the key that decides it what to choose, and why.
func TestReferenceRecommendsAHostForEachTenant(t *testing.T) {
	text, err := os.ReadFile("REFERENCE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(text), "\n| `url` | text |  | reload | URL of every tenant ")
	row, _, _ = strings.Cut(row, "\n")
	for _, part := range []string{"A host for each tenant is the better choice", "ask only the host's root for metadata"} {
		if !strings.Contains(row, part) {
			t.Errorf("server/url does not say %q: %s", part, row)
		}
	}
}

// TestEveryKeyIsDocumented: a field of the shape has a key and a comment, and
// an example that can stand in a file.
func TestEveryKeyIsDocumented(t *testing.T) {
	docs, err := comments()
	if err != nil {
		t.Fatal(err)
	}
	l := newLoader()
	var walk func(rt reflect.Type)
	walk = func(rt reflect.Type) {
		for i := range rt.NumField() {
			f := rt.Field(i)
			below := sectionOf(f.Type)
			if below != nil {
				walk(below)
			} else if docs[rt.Name()+"."+f.Name] == "" {
				t.Errorf("%s.%s has no comment", rt.Name(), f.Name)
			}
			s := fieldShape(f)
			if s.name == "" {
				t.Errorf("%s.%s has no key", rt.Name(), f.Name)
			}
			if s.example == "" {
				continue
			}
			root, _, what := parseYAML([]byte(s.example))
			if what != nil {
				t.Errorf("%s: example: %v", s.name, *what)
				continue
			}
			r := &yamlReader{report: func(_ *yaml.Node, _ path, what problem) { t.Errorf("%s: example: %v", s.name, what) }}
			l.shape(&layer{find: func(path, bool) (string, int, bool) { return "example", 0, true }}, path{s.name}, s, r.value(nil, root))
		}
	}
	walk(reflect.TypeFor[Config]())
	if len(l.faults) > 0 {
		t.Error(&l.faults)
	}
}

const referenceHead = "<!-- Generated from config.go by go generate ./config. Do not edit. -->\n\n" + `# Configuration reference

Files are YAML. Whatever is unknown, of the wrong type, out of range or missing
is refused, all of it at once, each fault with its file, line and key. ` + "`sallyport check`" + `
says the same as ` + "`sallyport serve`" + ` would. Complete files are in [examples](examples).

## Layers

Defaults, then the files in the order given, then the environment, then flags;
the later wins. Sections and tenants are merged key by key, a list or a text is
replaced whole. A key without a value counts as absent.

**Environment.** ` + "`SALLYPORT_`" + ` and the key's path in capitals, two underscores
between levels. A tenant's name keeps its case; so ` + "`tenants/octo/client_secret`" + ` is
` + "`SALLYPORT_TENANTS__octo__CLIENT_SECRET`" + `. Everything else becomes lower case, so a
provider's setting with a capital letter can be set in a file only, and so can
a tenant with two underscores in its name. Text is taken as it is, a list of
texts is split at commas, anything else (true and false, settings, clients) is
read as YAML. Variables of the form Kubernetes sets for a service named
` + "`sallyport`" + ` are passed over; any other that fits no key is refused.

**Flags.**

%s
## Changes while the server runs

The files are read again when one of them changes, and on SIGHUP. Everything in
them is checked, also keys whose change needs a restart: if one is not valid,
nothing is reloaded, the log says what is wrong, and the server goes on with
what it has. Valid changes that need a restart are named in the log.

## Interpolation

In any text ` + "`${env:NAME}`" + ` stands for an environment variable and
` + "`${file:/absolute/path}`" + ` for the content of a file without one newline at its end.
Either may be a part of the text. One that is missing or empty is a fault.
` + "`$${`" + ` stands for a plain ` + "`${`" + `. What was put in is not looked at again.

`

// reference returns REFERENCE.md.
func reference() (string, error) {
	docs, err := comments()
	if err != nil {
		return "", err
	}
	var set strings.Builder
	set.WriteString("| flag | key |\n|---|---|\n")
	for _, f := range flags() {
		fmt.Fprintf(&set, "| `--%s` | `%s` |\n", f.name, f.key)
	}
	var b strings.Builder
	fmt.Fprintf(&b, referenceHead, set.String())
	writeSection(&b, docs, reflect.TypeFor[Config](), "", false)
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// writeSection writes the keys of a struct, then the sections below it.
func writeSection(b *strings.Builder, docs map[string]string, rt reflect.Type, at string, reload bool) {
	if at == "" {
		b.WriteString("## Keys\n\n")
	} else {
		fmt.Fprintf(b, "### %s\n\n%s\n\n", at, docs[rt.Name()])
	}
	b.WriteString("| key | takes | default | a change needs | |\n|---|---|---|---|---|\n")
	type sub struct {
		rt     reflect.Type
		at     string
		reload bool
	}
	var below []sub
	for i := range rt.NumField() {
		f := rt.Field(i)
		s := fieldShape(f)
		doc := docs[rt.Name()+"."+f.Name]
		if inner := sectionOf(f.Type); inner != nil {
			name := map[kind]string{section: s.name, named: s.name + "/NAME", list: s.name + "/N"}[s.kind]
			below = append(below, sub{inner, strings.TrimPrefix(at+"/"+name, "/"), reload || reloads(f)})
			if doc == "" {
				doc = docs[inner.Name()]
			}
		}
		if s.example != "" {
			doc += " Example: `" + s.example + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", s.name, takes(s), standard(s), needs(s, reload || reloads(f)), strings.ReplaceAll(doc, "|", "\\|"))
	}
	b.WriteString("\n")
	for _, s := range below {
		writeSection(b, docs, s.rt, s.at, s.reload)
	}
}

// needs says what a change of a key needs to count.
func needs(s *shape, reload bool) string {
	switch {
	case s.kind == section:
		return ""
	case reload:
		return "reload"
	}
	return "restart"
}

// takes says in words what a key takes.
func takes(s *shape) string {
	switch s.kind {
	case section:
		return "section"
	case named:
		return map[bool]string{true: "sections", false: takes(s.elem)}[s.elem.kind == section] + " by name"
	case free:
		return "anything"
	case list:
		return "list of " + map[bool]string{true: "sections", false: takes(s.elem)}[s.elem.kind == section]
	case secret:
		return "secret text"
	case boolean:
		return "true or false"
	case rate:
		return "rate"
	case duration:
		return "duration, " + short(s.min) + " to " + short(s.max)
	}
	if len(s.oneOf) > 0 {
		return "`" + strings.Join(s.oneOf, "`, `") + "`"
	}
	return "text"
}

func standard(s *shape) string {
	switch {
	case s.required:
		return "**required**"
	case s.def != "":
		return "`" + s.def + "`"
	}
	return ""
}

// sectionOf returns the struct that a field's type holds one or several of, or
// nil.
func sectionOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[Secret]() || t == reflect.TypeFor[Rate]() {
		return nil
	}
	return t
}

// comments returns the comments in config.go of types (Server) and fields
// (Server.Listen), each as one line.
func comments() (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	docs := map[string]string{}
	line := func(group *ast.CommentGroup) string { return strings.Join(strings.Fields(group.Text()), " ") }
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			typ := spec.(*ast.TypeSpec)
			// "Server says where …" reads as a sentence of its own.
			docs[typ.Name.Name] = line(gen.Doc)
			if st, ok := typ.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					docs[typ.Name.Name+"."+f.Names[0].Name] = line(f.Doc)
				}
			}
		}
	}
	return docs, nil
}
